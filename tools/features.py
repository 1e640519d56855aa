#!/usr/bin/env python3
"""features.py [LOGS] - docs/features.md tells the truth: every test that it names exists and, where LOGS holds results, ran and passed.

The table's columns are `capability | state | test or message`:
  done     names one test or more, in backticks: `test_file:function` of tests/unit, or `tests/e2e/test_x.py::test_y` (a test with
           parameters is named without them), or a make target as `make demo`
  partial  says what is missing
  refused  holds, in backticks, the message that a user gets
LOGS is build/logs: NAME.tap of the unit tests, e2e.xml of the end-to-end tests.  A skipped end-to-end test counts as run only when the
row says `(skipped without ...)`.  Ends with `N passed, N failed`, one for each row."""
import pathlib, re, sys, xml.etree.ElementTree as tree

TABLE = pathlib.Path("docs/features.md")
UNIT = re.compile(r"(test_\w+|sim_\w+|replay_\w+):(\w+)$")
E2E = re.compile(r"(tests/e2e/test_\w+\.py)::([\w:]+)$")


def rows(text):
    """(line number, capability, state, rest) of each table row; header and rule rows are left out."""
    for n, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            continue
        cells = [c.strip().replace("\0", "|") for c in line.replace("\\|", "\0").strip().strip("|").split("|")]
        if set("".join(cells)) <= set("-: ") or cells[0].lower() == "capability":
            continue
        yield n, cells


def unit_results(logs):
    """{(program, function): passed}; None without logs."""
    taps = sorted(logs.glob("*.tap")) if logs else []
    found = {}
    for tap in taps:
        for m in re.finditer(r"^(not )?ok \d+ - (\w+)(.*# SKIP)?", tap.read_text(errors="replace"), re.M):
            found[tap.stem, m[2]] = not m[1] and not m[3]
    return found if taps else None


def e2e_results(logs):
    """{(file, test): 'passed' | 'skipped' | 'failed'}; the worst of a test's parameters; None without logs."""
    path = logs / "e2e.xml" if logs else None
    if not path or not path.exists():
        return None
    found, order = {}, ["passed", "skipped", "failed"]
    for case in tree.parse(path).getroot().iter("testcase"):
        module, *classes = re.split(r"(?<=\.)(?=[A-Z])", case.get("classname", ""), maxsplit=1)
        file = module.rstrip(".").replace(".", "/") + ".py"
        name = "::".join(classes + [re.sub(r"\[.*", "", case.get("name", ""))])
        state = "failed" if case.find("failure") is not None or case.find("error") is not None else \
                "skipped" if case.find("skipped") is not None else "passed"
        found[file, name] = max(found.get((file, name), "passed"), state, key=order.index)
    return found


def unit_exists(program, function):
    if program.startswith("replay_"):
        return pathlib.Path(f"tests/fuzz/fuzz_{program.removeprefix('replay_')}.c").exists()
    paths = [p for d in ("unit", "sim") if (p := pathlib.Path(f"tests/{d}/{program}.c")).exists()]
    return any(re.search(rf"TEST\({function}\)", p.read_text()) for p in paths)


def e2e_exists(file, name):
    path = pathlib.Path(file)
    return path.exists() and re.search(rf"^\s*(async )?def {name.split('::')[-1]}\(", path.read_text(), re.M)


def check_test(name, rest, units, e2es):
    """What is wrong with a test named by a done row, or None."""
    if m := UNIT.match(name):
        if not unit_exists(m[1], m[2]):
            return f"no such test: expected TEST({m[2]}) in tests/unit/{m[1]}.c"
        if units is not None and not units.get((m[1], m[2])):
            return "the test failed or was skipped" if (m[1], m[2]) in units else "the test did not run"
    elif m := E2E.match(name):
        if not e2e_exists(m[1], m[2]):
            return f"no such test: expected def {m[2]}() in {m[1]}"
        state = "passed" if e2es is None else e2es.get((m[1], m[2]), "missing")
        if state == "missing":
            return "the test did not run"
        if state == "failed" or state == "skipped" and "(skipped without" not in rest:
            return f"the test {'failed' if state == 'failed' else 'was skipped, and the row does not say (skipped without ...)'}"
    elif m := re.match(r"make (\w+)$", name):
        if not re.search(rf"^{m[1]}:", pathlib.Path("Makefile").read_text(), re.M):
            return f"no such make target: expected '{m[1]}:' in Makefile"
    else:
        return "expected test_file:function, tests/e2e/test_x.py::test_y or a make target"
    return None


def check_row(cells, units, e2es):
    if len(cells) != 3:
        return [f"expected 3 columns, got {len(cells)}"]
    capability, state, rest = cells
    named = re.findall(r"`([^`]+)`", rest)
    if state == "done":
        tests = [n for n in named if UNIT.match(n) or E2E.match(n) or n.startswith("make ")]
        if not tests:
            return [f"'{capability}' is done: expected a test's name in backticks, got '{rest}'"]
        return [f"'{capability}': {t}: {bad}" for t in tests if (bad := check_test(t, rest, units, e2es))]
    if state == "partial":
        return [] if len(rest) > 10 else [f"'{capability}' is partial: expected what is missing, got '{rest}'"]
    if state == "refused":
        return [] if named else [f"'{capability}' is refused: expected the user's message in backticks, got '{rest}'"]
    return [f"'{capability}': state: expected done, partial or refused, got '{state}'"]


def main():
    logs = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    units, e2es = unit_results(logs), e2e_results(logs)
    passed = failed = 0
    for n, cells in rows(TABLE.read_text()):
        problems = check_row(cells, units, e2es)
        for p in problems:
            print(f"{TABLE}:{n}: {p}")
        passed, failed = passed + (not problems), failed + bool(problems)
    if passed + failed == 0:
        print(f"{TABLE}: no rows")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
