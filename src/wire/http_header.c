#include "wire/http_header.h"

#include <string.h>

str http_header_find(const http_header *headers, size_t count, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < count; i++) {
        str had = headers[i].name;
        if (had.len != len || !len || (had.p[0] | 0x20) != (name[0] | 0x20)) continue;   /* nearly all end here */
        if (str_is_nocase(had, name)) return headers[i].value;
    }
    return STR("");
}

static void digits(char *at, uint64_t n, size_t count)
{
    while (count) {
        at[--count] = (char)('0' + n % 10);
        n /= 10;
    }
}

void http_header_date(char ret[HTTP_HEADER_DATE_BYTES], uint64_t unix_seconds)
{
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    const uint64_t last = 253402300799;   /* 9999-12-31 23:59:59: the form has four digits for the year */
    uint64_t second = unix_seconds < last ? unix_seconds : last, day = second / 86400;
    /* Days since 0000-03-01 in a calendar whose years begin in March, so that the leap day comes last:
     * 400 years have 146097 days, a century 36524, four years 1461; five months from March on have 153. */
    uint64_t d = day + 719468, era = d / 146097, in_era = d % 146097;
    uint64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint64_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * in_year + 2) / 153, in_month = in_year - (153 * month + 2) / 5;

    memcpy(ret, "Xxx, 00 Xxx 0000 00:00:00 GMT", HTTP_HEADER_DATE_BYTES);
    memcpy(ret, days + day % 7 * 3, 3);
    digits(ret + 5, in_month + 1, 2);
    memcpy(ret + 8, months + month * 3, 3);
    digits(ret + 12, era * 400 + year_of_era + (month >= 10), 4);
    digits(ret + 17, second / 3600 % 24, 2);
    digits(ret + 20, second / 60 % 60, 2);
    digits(ret + 23, second % 60, 2);
}
