/* Days of the proleptic Gregorian calendar. Years begin in March here, so that the day that is added comes last. */
#include "base/clock.h"
#include "intake/template_internal.h"

enum { DAYS_OF_400_YEARS = 146097, DAYS_OF_100_YEARS = 36524, DAYS_OF_4_YEARS = 1461, DAYS_TO_1970 = 719468 };

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = floor_divide(year, 400), of_era = year - 400 * era;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * DAYS_OF_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

struct civil template_civil(int64_t time_us)
{
    int64_t days = floor_divide(time_us, US_PER_DAY), of_day = time_us % US_PER_DAY; /* the first day's beginning does not fit */
    int64_t second = (of_day < 0 ? of_day + US_PER_DAY : of_day) / US_PER_SECOND;
    int64_t since = days + DAYS_TO_1970, era = floor_divide(since, DAYS_OF_400_YEARS), of_era = since - era * DAYS_OF_400_YEARS;
    int64_t year = (of_era - of_era / (DAYS_OF_4_YEARS - 1) + of_era / DAYS_OF_100_YEARS - of_era / (DAYS_OF_400_YEARS - 1)) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    int64_t weekday = days + 3 - 7 * floor_divide(days + 3, 7); /* 1970-01-01 was a Thursday */
    return (struct civil){.year = year + 400 * era + (month >= 10),
                          .month = (unsigned)(month < 10 ? month + 3 : month - 9),
                          .day = (unsigned)(of_year - (153 * month + 2) / 5 + 1),
                          .hour = (unsigned)(second / 3600),
                          .weekday = (unsigned)weekday + 1};
}

static bool digits_read(unsigned *out, const char *at, unsigned count)
{
    *out = 0;
    for (unsigned i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        *out = 10 * *out + (unsigned)(at[i] - '0');
    }
    return true;
}

bool template_date_read(int64_t *out, struct text text)
{
    unsigned year, month, day, hour = 0, minute = 0, second = 0;
    const char *at = text.data;
    if ((text.bytes != 10 && text.bytes != 19) || !digits_read(&year, at, 4) || !digits_read(&month, at + 5, 2) ||
        !digits_read(&day, at + 8, 2) || at[4] != '-' || at[7] != '-')
        return false;
    if (text.bytes == 19 && (at[10] != 'T' || at[13] != ':' || at[16] != ':' || !digits_read(&hour, at + 11, 2) ||
                             !digits_read(&minute, at + 14, 2) || !digits_read(&second, at + 17, 2)))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59)
        return false;
    int64_t days = days_of(year, month, day);
    struct civil again = template_civil(days * US_PER_DAY);
    *out = days * US_PER_DAY + (hour * 3600 + minute * 60 + second) * US_PER_SECOND;
    return again.month == month && again.day == day; /* no 31st of April */
}
