#include "serve/debug_page.h"

#include "base/buf.h"
#include "os/random.h"

#include <inttypes.h>
#include <stdio.h>

enum { NONCE_BYTES = 33, POLICY_BYTES = 320, PAGE_BYTES_MAX = 64 << 10 };

/* Between these three the number of the answer is written. */
static const char *const page_head[] = {
    "<!doctype html>\n",
    "<html lang=\"en\">\n",
    "<head>\n",
    "<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n",
    "<title>proa: models</title>\n",
    "<style nonce=\"",
    NULL};

static const char *const page_style[] = {
    "\">\n",
    "body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff; max-width: 80em; "
    "}\n",
    "h1 { font-size: 1.3em; } h2 { font-size: 1.1em; margin: 1.2em 0 .3em; }\n",
    "table { border-collapse: collapse; } td, th { padding: .1em .8em .1em 0; text-align: left; font-weight: "
    "normal; }\n",
    "td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }\n",
    "svg { display: block; width: 180px; height: 26px; background: #f4f4f6; } polyline { fill: none; stroke: #06c; "
    "}\n",
    ".state { font-size: .85em; padding: 0 .5em; border-radius: .6em; background: #eee; } .READY { background: "
    "#cec; }\n",
    ".UNAVAILABLE { background: #ecc; } .why { color: #a00; } .quiet { color: #777; } summary { cursor: pointer; "
    "}\n",
    "@media (prefers-color-scheme: dark) {\n",
    "  body { color: #ddd; background: #181a1c; } svg { background: #24272a; } polyline { stroke: #6af; }\n",
    "  .state { background: #333; } .READY { background: #263; } .UNAVAILABLE { background: #622; }\n",
    "}\n",
    "</style>\n",
    "</head>\n",
    "<body>\n",
    "<h1>Models</h1>\n",
    "<p><label>Filter by name <input id=\"filter\" type=\"search\"></label> <span id=\"note\" class=\"quiet\" "
    "role=\"status\"></span></p>\n",
    "<noscript>This page draws with JavaScript; the same figures are at /metrics and "
    "/debug/models.json.</noscript>\n",
    "<main id=\"models\"></main>\n",
    "<details><summary>Server</summary><table id=\"server\"></table></details>\n",
    "<script nonce=\"",
    NULL};

/* NOLINTBEGIN(bugprone-suspicious-missing-comma): where a line of the script is longer than one of ours may be */
static const char *const page_script[] = {
    "\">\n",
    "'use strict';\n",
    "const KEPT = 60, SHOWN = 50, EVERY_MS = 2000, cards = new Map();\n",
    "let before = null;\n",
    "const make = (tag, text, name) => {\n",
    "  const e = document.createElement(tag);\n",
    "  if (text !== undefined) e.textContent = text;\n",
    "  if (name) e.className = name;\n",
    "  return e;\n",
    "};\n",
    "const number = n => n === null || !isFinite(n) ? '-' : Math.abs(n) >= 100 || Number.isInteger(n) ?\n",
    "  Math.round(n).toLocaleString('en') : n.toPrecision(3);\n",
    "const bytes = n => n >= 2 ** 30 ? number(n / 2 ** 30) + ' GiB' : n >= 2 ** 20 ?\n",
    "  number(n / 2 ** 20) + ' MiB' :\n",
    "  n >= 1024 ? number(n / 1024) + ' KiB' : number(n) + ' B';\n",
    "const sum = list => list.reduce((a, b) => a + b, 0);\n",
    "const count = v => v && v.buckets ? sum(v.buckets) : v || 0;\n",
    "/* Read off the buckets as Prometheus does; what is over the last bound is at the last bound. */\n",
    "const quantile = (buckets, bounds, q) => {\n",
    "  const all = sum(buckets);\n",
    "  let seen = 0;\n",
    "  for (let i = 0; all && i < buckets.length; i++) {\n",
    "    if (seen + buckets[i] >= q * all) {\n",
    "      const low = i ? bounds[i - 1] : 0, high = i < bounds.length ? bounds[i] : low;\n",
    "      return low + (high - low) * (buckets[i] ? (q * all - seen) / buckets[i] : 0);\n",
    "    }\n",
    "    seen += buckets[i];\n",
    "  }\n",
    "  return null;\n",
    "};\n",
    "const since = (now, then) => now && now.buckets ?\n",
    "  now.buckets.map((n, i) => Math.max(0, n - (then ? then.buckets[i] : 0))) : null;\n",
    "const plot = (svg, values) => {\n",
    "  const most = Math.max(...values.filter(v => v !== null), 0) || 1;\n",
    "  const at = values.map((v, i) => v === null ? null :\n",
    "    `${(i + KEPT - values.length) * 180 / (KEPT - 1)},${25 - 24 * v / most}`);\n",
    "  svg.firstChild.setAttribute('points', at.filter(p => p !== null).join(' '));\n",
    "};\n",
    "const row = (card, name, help, value, text) => {\n",
    "  let r = card.rows.get(name);\n",
    "  if (!r) {\n",
    "    r = { tr: make('tr'), number: make('td', '', 'number'), history: [],\n",
    "      svg: document.createElementNS('http://www.w3.org/2000/svg', 'svg') };\n",
    "    const label = make('th', name), cell = make('td');\n",
    "    label.scope = 'row';\n",
    "    label.title = help || '';\n",
    "    r.svg.setAttribute('viewBox', '0 0 180 26');\n",
    "    r.svg.setAttribute('aria-hidden', 'true');\n",
    "    r.svg.append(document.createElementNS('http://www.w3.org/2000/svg', 'polyline'));\n",
    "    cell.append(r.svg);\n",
    "    r.tr.append(label, r.number, cell);\n",
    "    card.rows.set(name, r);\n",
    "  }\n",
    "  r.history.push(value);\n",
    "  if (r.history.length > KEPT) r.history.shift();\n",
    "  r.number.textContent = text;\n",
    "  plot(r.svg, r.history);\n",
    "  return r.tr;\n",
    "};\n",
    "/* Rows that say most, from whatever metrics there are; all metrics stand below them. */\n",
    "const main = (card, at, then, seconds, bounds) => {\n",
    "  const rate = name => then && name in at ? Math.max(0, count(at[name]) - count(then[name])) / seconds : "
    "null;\n",
    "  const add = (name, help, value, text) => { if (value !== undefined) card.table.append(row(card, name, help, "
    "value, text)); };\n",
    "  const latency = since(at.proa_inference_seconds, then && then.proa_inference_seconds);\n",
    "  if (then) add('rate', 'answers a second', rate('proa_inference_success_total'), "
    "number(rate('proa_inference_success_total')) + ' /s');\n",
    "  for (const [name, q] of [['p50', .5], ['p99', .99]]) {\n",
    "    const us = latency && then ? quantile(latency, bounds, q) : null;\n",
    "    if (latency) add(name, 'from a whole request to its result', us, us === null ? '-' : number(us / 1000) + "
    "' ms');\n",
    "  }\n",
    "  const depth = at.proa_queue_waiting + at.proa_sequences_waiting;\n",
    "  if ('proa_queue_waiting' in at) add('queue depth', 'requests that wait', depth, number(depth));\n",
    "  const all = at.proa_batch_rows, was = then ? then.proa_batch_rows : all, pads = name => (at[name] || 0) - "
    "(then ? then[name] || 0 : at[name] || 0);\n",
    "  if (all) {\n",
    "    const runs = all.runs - was.runs, rows = all.rows - was.rows, more = pads('proa_batch_padding_rows_total');\n",
    "    add('batch', 'rows of a run', runs > 0 ? rows / runs : null, number(runs > 0 ? rows / runs : null));\n",
    "    const entries = pads('proa_batch_entries_total'), nobodys = pads('proa_batch_padding_entries_total');\n",
    "    const waste = entries > 0 ? 100 * nobodys / entries : rows > 0 ? 100 * more / (rows + more) : null;\n",
    "    add('padding', 'of what was run: rows that are nobody\\'s, and what fills rows up to the longest', waste, "
    "waste === null ? '-' : number(waste) + ' %');\n",
    "  }\n",
    "  if (at.proa_sequences_active + at.proa_sequences_backlog > 0)\n",
    "    add('sequences', 'that have a slot, and that wait for one', at.proa_sequences_active, "
    "`${number(at.proa_sequences_active)}, ${number(at.proa_sequences_backlog)} wait`);\n",
    "  const hits = rate('proa_cache_hit_seconds'), misses = rate('proa_cache_miss_seconds');\n",
    "  if (count(at.proa_cache_hit_seconds) + count(at.proa_cache_miss_seconds) > 0)\n",
    "    add('cache hit rate', 'of requests in the response cache', hits + misses ? 100 * hits / (hits + misses) : "
    "null,\n",
    "      hits + misses ? number(100 * hits / (hits + misses)) + ' %' : '-');\n",
    "  if ('proa_model_bytes' in at) add('memory', 'files and what was made of them', at.proa_model_bytes, "
    "bytes(at.proa_model_bytes));\n",
    "};\n",
    "const others = (card, rows, at, then, seconds, bounds) => {\n",
    "  for (const r of rows) {\n",
    "    const now = at[r.name], was = then ? then[r.name] : undefined;\n",
    "    let value = now, text;\n",
    "    if (r.type === 'histogram') {\n",
    "      const b = was ? since(now, was) : null, us = b ? quantile(b, bounds, .5) : null;\n",
    "      value = us;\n",
    "      text = number(count(now)) + (us === null ? '' : `, p50 ${number(us / 1000)} ms, p99 "
    "${number(quantile(b, bounds, .99) / 1000)} ms`);\n",
    "    } else if (r.type === 'rows') {\n",
    "      value = was === undefined ? null : Math.max(0, now.rows - was.rows) / seconds;\n",
    "      text = `${number(now.rows)} in ${number(now.runs)} runs`;\n",
    "    } else if (r.type === 'counter') {\n",
    "      value = was === undefined ? null : Math.max(0, now - was) / seconds;\n",
    "      text = number(now) + (value ? `, ${number(value)} /s` : '');\n",
    "    } else text = r.name.endsWith('_bytes') ? bytes(now) : number(now);\n",
    "    card.all.append(row(card, r.name, r.help, value, text));\n",
    "  }\n",
    "};\n",
    "const card_of = (key, name, version) => {\n",
    "  let c = cards.get(key);\n",
    "  if (c) return c;\n",
    "  c = { section: make('section'), state: make('span', '', 'state'), why: make('p', '', 'why'), table: "
    "make('table'), all: make('table'), rows: new Map(), name };\n",
    "  const title = make('h2', `${name} / ${version} `), more = make('details');\n",
    "  title.append(c.state);\n",
    "  more.append(make('summary', 'all metrics'), c.all);\n",
    "  c.section.append(title, c.why, c.table, more);\n",
    "  cards.set(key, c);\n",
    "  return c;\n",
    "};\n",
    "const values_of = (figures, model) => Object.fromEntries(figures.rows.map((r, i) => [r.name, "
    "model.values[i]]));\n",
    "const draw = (figures, index, ms) => {\n",
    "  const place = document.getElementById('models'), filter = document.getElementById('filter').value, seen = "
    "new Set();\n",
    "  const now = { at: ms, of: new Map(figures.models.map(m => [m.name + ' ' + m.version, values_of(figures, "
    "m)])) };\n",
    "  const entries = new Map(figures.models.map(m => [m.name + ' ' + m.version, { name: m.name, version: "
    "m.version, state: 'READY' }]));\n",
    "  for (const e of index) entries.set(e.name + ' ' + e.version, e);\n",
    "  for (const [key, e] of entries) {\n",
    "    if (!e.name.includes(filter) || seen.size === SHOWN) continue;\n",
    "    const card = card_of(key, e.name, e.version), at = now.of.get(key), then = before && before.of.get(key);\n",
    "    seen.add(key);\n",
    "    card.state.textContent = e.state;\n",
    "    card.state.className = 'state ' + e.state;\n",
    "    card.why.textContent = e.reason || '';\n",
    "    if (at) main(card, at, then, (ms - (before ? before.at : ms)) / 1000, figures.bounds_us);\n",
    "    if (at) others(card, figures.rows, at, then, (ms - (before ? before.at : ms)) / 1000, "
    "figures.bounds_us);\n",
    "    if (!card.section.isConnected) place.append(card.section);\n",
    "  }\n",
    "  for (const [key, card] of cards) if (!seen.has(key)) card.section.remove();\n",
    "  for (const key of [...cards.keys()]) if (!entries.has(key)) cards.delete(key);\n",
    "  const table = make('tbody');\n",
    "  for (const r of figures.server) {\n",
    "    const tr = make('tr'), label = make('th', r.name + (r.labels ? ` {${r.labels}}` : ''));\n",
    "    label.scope = 'row';\n",
    "    label.title = r.help;\n",
    "    tr.append(label, make('td', r.name.endsWith('_bytes') ? bytes(r.value) : number(r.value), 'number'));\n",
    "    table.append(tr);\n",
    "  }\n",
    "  document.getElementById('server').replaceChildren(table);\n",
    "  before = now;\n",
    "  return entries.size > seen.size ? `, ${seen.size} of ${entries.size} models are shown` : '';\n",
    "};\n",
    "const poll = async () => {\n",
    "  const note = document.getElementById('note');\n",
    "  try {\n",
    "    const [figures, index] = await Promise.all([fetch('models.json', { cache: 'no-store' }), "
    "fetch('../v2/repository/index', { method: 'POST' })]);\n",
    "    if (!figures.ok) throw new Error(`/debug/models.json: ${figures.status}`);\n",
    "    const more = draw(await figures.json(), index.ok ? await index.json() : [], performance.now());\n",
    "    note.textContent = 'at ' + new Date().toLocaleTimeString() + more;\n",
    "  } catch (e) {\n",
    "    note.textContent = 'no answer: ' + e.message;\n",
    "  }\n",
    "  setTimeout(poll, EVERY_MS);\n",
    "};\n",
    "poll();\n",
    "</script>\n",
    "</body>\n",
    "</html>\n",
    NULL};
/* NOLINTEND(bugprone-suspicious-missing-comma) */

static void put(buf *out, const char *const *lines)
{
    for (; *lines; lines++) buf_put_z(out, *lines);
}

void debug_page_reply(http_call *call)
{
    uint64_t seed[2];
    char nonce[NONCE_BYTES], policy[POLICY_BYTES];
    buf page;
    err e;
    if (random_bytes(seed, sizeof seed, &e)) {
        http_reply_error(call, err_http_status(e.code), e.text);
        return;
    }
    snprintf(nonce, sizeof nonce, "%016" PRIx64 "%016" PRIx64, seed[0], seed[1]);
    int n = snprintf(policy, sizeof policy,
                     "default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; connect-src 'self'; "
                     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce, nonce);
    INVARIANT(n > 0 && n < POLICY_BYTES);
    const http_header fields[] = {{STR("Content-Security-Policy"), {policy, (size_t)n}},
                                  {STR("Cache-Control"), STR("no-store")},
                                  {STR("X-Content-Type-Options"), STR("nosniff")},
                                  {STR("Referrer-Policy"), STR("no-referrer")}};
    buf_init(&page, PAGE_BYTES_MAX);
    put(&page, page_head);
    buf_put_z(&page, nonce);
    put(&page, page_style);
    buf_put_z(&page, nonce);
    put(&page, page_script);
    if (buf_check(&page, "page", &e))
        http_reply_error(call, err_http_status(e.code), e.text);
    else
        http_reply(call, &(http_response){.status = 200,
                                          .content_type = STR("text/html; charset=utf-8"),
                                          .headers = fields,
                                          .header_count = COUNTOF(fields),
                                          .body = {buf_str(&page)}});
    buf_fini(&page);
}
