/* openssl.h - what is called of OpenSSL 3, opened when the first TLS context is made: a server's or a client's.
 *
 * A program without TLS pays nothing for it: linked, libssl and libcrypto would cost every start 0.8 ms.  The types
 * and constants are those of OpenSSL's own headers; every function is called through `ossl`, which
 * openssl_need() fills once, from any thread.  Macros of those headers that call a function are written out. */
#ifndef NET_OPENSSL_H
#define NET_OPENSSL_H
#include "base/err.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define OPENSSL_OF_SSL(X) \
    X(SSL_CTX_add_client_CA) X(SSL_CTX_check_private_key) X(SSL_CTX_ctrl) X(SSL_CTX_free) X(SSL_CTX_get0_param) \
    X(SSL_CTX_get_ex_data) X(SSL_CTX_set_ex_data) X(SSL_CTX_set_tlsext_ticket_key_evp_cb) X(SSL_get_SSL_CTX) \
    X(SSL_CTX_get_cert_store) X(SSL_CTX_new) X(SSL_CTX_set_alpn_protos) X(SSL_CTX_set_alpn_select_cb) \
    X(SSL_CTX_set_cipher_list) X(SSL_CTX_set_default_verify_paths) X(SSL_CTX_set_msg_callback) \
    X(SSL_CTX_set_num_tickets) X(SSL_CTX_set_options) X(SSL_CTX_set_session_id_context) X(SSL_CTX_set_verify) \
    X(SSL_CTX_set_verify_depth) X(SSL_CTX_use_PrivateKey) X(SSL_CTX_use_certificate) X(SSL_alert_desc_string_long) \
    X(SSL_ctrl) X(SSL_do_handshake) X(SSL_free) X(SSL_get0_alpn_selected) X(SSL_get0_param) X(SSL_get_error) \
    X(SSL_get_ex_data) X(SSL_get_ex_data_X509_STORE_CTX_idx) X(SSL_new) X(SSL_pending) X(SSL_read_ex) \
    X(SSL_set1_host) X(SSL_set_accept_state) X(SSL_set_bio) X(SSL_set_connect_state) X(SSL_set_ex_data) \
    X(SSL_set_hostflags) X(SSL_shutdown) X(SSL_version) X(SSL_write_ex) X(TLS_client_method) X(TLS_server_method)

#define OPENSSL_OF_CRYPTO(X) \
    X(CRYPTO_get_mem_functions) X(CRYPTO_malloc) X(CRYPTO_set_mem_functions) \
    X(ASN1_STRING_get0_data) X(ASN1_STRING_length) X(ASN1_TIME_diff) X(BIO_clear_flags) X(BIO_free) X(BIO_get_data) \
    X(BIO_meth_free) X(BIO_meth_new) X(BIO_meth_set_ctrl) X(BIO_meth_set_read) X(BIO_meth_set_write) X(BIO_new) \
    X(BIO_new_mem_buf) X(BIO_set_data) X(BIO_set_flags) X(BIO_set_init) X(ERR_clear_error) X(ERR_peek_error) \
    X(ERR_peek_last_error) X(ERR_reason_error_string) X(EVP_DecryptInit_ex) X(EVP_EncryptInit_ex) \
    X(EVP_MAC_CTX_set_params) X(EVP_PKEY_free) X(EVP_aes_256_cbc) X(GENERAL_NAMES_free) X(OPENSSL_sk_num) \
    X(OPENSSL_sk_value) X(PEM_read_bio_PrivateKey) X(PEM_read_bio_X509) X(X509_NAME_oneline) \
    X(X509_STORE_CTX_get_current_cert) X(X509_STORE_CTX_get_error) X(X509_STORE_CTX_get_error_depth) \
    X(X509_STORE_CTX_get_ex_data) X(X509_STORE_add_cert) X(X509_VERIFY_PARAM_set1_ip_asc) \
    X(X509_VERIFY_PARAM_set_flags) X(X509_free) X(X509_get0_notAfter) X(X509_get0_notBefore) X(X509_get_ext_d2i) \
    X(X509_get_issuer_name) X(X509_verify_cert_error_string)

typedef struct {
#define X(f) __typeof__(&f) f;
    OPENSSL_OF_SSL(X)
    OPENSSL_OF_CRYPTO(X)
#undef X
} openssl;

extern openssl ossl;

err_code openssl_need(err *e) MUST_USE;
void openssl_trim(void);   /* memory that it does not use now goes back to the heap; any thread */

#endif
