/* version.h - the version of Proa, in one place.
 *
 * Semantic versioning; CHANGELOG.md says what each one brought.  `proa --version` and the server metadata
 * of the V2 protocol print it. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define PROA_VERSION "0.1.0"

#endif
