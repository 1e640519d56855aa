#include "net/tls_verdict.h"

#include "net/openssl.h"
#include "os/sock.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_SHOWN_MAX = 3, NAME_SHOWN_MAX = 80 };

void tls_verdict_init(tls_verdict *v, const char *host, const char *authorities)
{
    sock_addr probe;
    err none;
    *v = (tls_verdict){.authorities = authorities};
    snprintf(v->host, sizeof v->host, "%s", host);
    size_t len = strcspn(v->host, "%");
    v->host[len] = 0;
    v->is_ip = sock_addr_parse(&probe, v->host, 0, &none) == ERR_OK;
    if (!v->is_ip && len > 1 && v->host[len - 1] == '.') v->host[len - 1] = 0;
}

bool tls_verdict_ask(tls_verdict *v, SSL *ssl)
{
    if (ossl.SSL_set_ex_data(ssl, 0, v) != 1) return false;
    if (v->is_ip) return ossl.X509_VERIFY_PARAM_set1_ip_asc(ossl.SSL_get0_param(ssl), v->host) == 1;
    /* A name in the subject is nobody's promise since RFC 6125. */
    ossl.SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return ossl.SSL_set1_host(ssl, v->host) == 1 &&
           ossl.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, v->host) == 1;
}

/* ---- what is wrong with a certificate ---- */

static void clean(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~' || *text == '\'') *text = '?';
}

static bool name_print(const GENERAL_NAME *name, char *ret, size_t room)
{
    if (name->type != GEN_DNS && name->type != GEN_IPADD) return false;
    const ASN1_STRING *value = name->d.ia5;   /* both are strings of ASN.1 */
    const unsigned char *p = ossl.ASN1_STRING_get0_data(value);
    int len = ossl.ASN1_STRING_length(value);
    if (name->type == GEN_DNS) {
        snprintf(ret, room, "%.*s", len, (const char *)p);
        clean(ret);
    } else if (len == 4) {
        snprintf(ret, room, "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
    } else if (len == 16) {
        for (size_t i = 0, n = 0; i < 16; i += 2)
            n += (size_t)snprintf(ret + n, room - n, "%s%x", i ? ":" : "", (unsigned)p[i] << 8 | p[i + 1]);
    } else {
        return false;
    }
    return true;
}

/* "'a.example', 'b.example' and 3 more": the names and addresses that it is for. */
static void names_print(const X509 *cert, char *ret, size_t room)
{
    GENERAL_NAMES *all = ossl.X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int count = all ? ossl.OPENSSL_sk_num((const OPENSSL_STACK *)all) : 0, shown = 0;
    size_t n = 0;
    ret[0] = 0;
    for (int i = 0; i < count && shown < NAMES_SHOWN_MAX && n < room; i++) {
        const GENERAL_NAME *name = ossl.OPENSSL_sk_value((const OPENSSL_STACK *)all, i);
        char text[NAME_SHOWN_MAX];
        if (!name_print(name, text, sizeof text)) continue;
        int wrote = snprintf(ret + n, room - n, "%s'%s'", shown ? ", " : "", text);
        n += wrote > 0 ? (size_t)wrote : 0;
        shown++;
    }
    if (count > shown && shown && n < room) snprintf(ret + n, room - n, " and %d more", count - shown);
    if (!shown) snprintf(ret, room, "none");
    ossl.GENERAL_NAMES_free(all);
}

/* "5 days ago", "in 1 day". */
static void distance_print(const ASN1_TIME *at, bool past, char *ret, size_t room)
{
    int days = 0, seconds = 0;
    if (ossl.ASN1_TIME_diff(&days, &seconds, NULL, at) != 1) {
        snprintf(ret, room, "at no readable time");
        return;
    }
    if (past) days = -days;
    if (days > 0)
        snprintf(ret, room, "%s%d day%s%s", past ? "" : "in ", days, days == 1 ? "" : "s", past ? " ago" : "");
    else
        snprintf(ret, room, "%s", past ? "within the last day" : "within a day");
}

static void object(tls_verdict *v, const char *expected, const char *got, const char *detail)
{
    snprintf(v->text, sizeof v->text, "certificate: expected %s, got %s%s", expected, got, detail);
}

static void object_to_signer(tls_verdict *v, const X509 *cert, int why)
{
    char expected[120], signer[128] = "";
    snprintf(expected, sizeof expected, "one of an authority in %.80s", v->authorities);
    if (why == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
        object(v, expected, "one that signed itself", "");
        return;
    }
    (void)ossl.X509_NAME_oneline(ossl.X509_get_issuer_name(cert), signer + 1, (int)sizeof signer - 2);
    clean(signer + 1);
    signer[0] = '\'';
    memcpy(signer + strlen(signer), "'", 2);
    object(v, expected, "one signed by ", signer);
}

static void hear_objection(tls_verdict *v, X509_STORE_CTX *about)
{
    int why = ossl.X509_STORE_CTX_get_error(about);
    bool own = ossl.X509_STORE_CTX_get_error_depth(about) == 0;
    const X509 *cert = ossl.X509_STORE_CTX_get_current_cert(about);
    char detail[TLS_VERDICT_TEXT_MAX - 100], expected[120];
    switch (cert ? why : X509_V_ERR_UNSPECIFIED) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        distance_print(ossl.X509_get0_notAfter(cert), true, detail, sizeof detail);
        object(v, "one that is in force", own ? "one that expired " : "one whose authority expired ", detail);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        distance_print(ossl.X509_get0_notBefore(cert), false, detail, sizeof detail);
        object(v, "one that is in force", own ? "one that begins " : "one whose authority begins ", detail);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        snprintf(expected, sizeof expected, "one for '%.90s'", v->host);
        names_print(cert, detail, sizeof detail);
        object(v, expected, strcmp(detail, "none") == 0 ? "one that names no host" : "one for ",
               strcmp(detail, "none") == 0 ? "" : detail);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED: object_to_signer(v, cert, why); break;
    default:
        snprintf(detail, sizeof detail, "'%s'", ossl.X509_verify_cert_error_string(why));
        object(v, "one to trust", "", detail);
        break;
    }
}

int tls_verdict_hear(int good, X509_STORE_CTX *about)
{
    const SSL *ssl = ossl.X509_STORE_CTX_get_ex_data(about, ossl.SSL_get_ex_data_X509_STORE_CTX_idx());
    tls_verdict *v = ossl.SSL_get_ex_data(ssl, 0);
    if (!good && v && !v->text[0]) hear_objection(v, about);
    return good;
}

/* ---- what is wrong with a handshake ---- */

enum { ALERT_CERTIFICATE_REQUIRED = 116 };

/* Alerts that are about the certificate we show, or do not: 42 to 46 and 48 of RFC 8446, 6.2. */
static bool is_about_ours(int alert)
{
    return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) || alert == SSL_AD_UNKNOWN_CA ||
           alert == ALERT_CERTIFICATE_REQUIRED;
}

err_code tls_verdict_say(const tls_verdict *v, unsigned long code, const char *where, err *e)
{
    if (v->text[0]) return err_set(e, ERR_UNAUTHENTICATED, "%s: %s", where, v->text);
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0, alert = reason - SSL_AD_REASON_OFFSET;
    if (code == 0) return err_set(e, ERR_NOMEM, "%s: TLS: no memory", where);
    if (reason == SSL_R_UNSUPPORTED_PROTOCOL || alert == SSL_AD_PROTOCOL_VERSION)
        return err_set(e, ERR_UNSUPPORTED, "%s: TLS: expected version 1.2 or 1.3, got a server without", where);
    const char *said = alert == ALERT_CERTIFICATE_REQUIRED ? "certificate required"   /* newer than OpenSSL 3's list */
                                                           : ossl.SSL_alert_desc_string_long(alert);
    if (alert > 0 && is_about_ours(alert))
        return err_set(e, ERR_UNAUTHENTICATED,
                       "%s: TLS: expected the server to take our certificate, got its alert '%s'", where, said);
    if (alert > 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: TLS: expected the server to go on, got its alert '%s'", where, said);
    const char *text = ossl.ERR_reason_error_string(code);
    return err_set(e, ERR_INTERNAL, "%s: TLS: expected the server to keep to it, got '%s'", where,
                   text ? text : "an unknown error");
}
