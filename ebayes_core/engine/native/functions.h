/* Functions that a compiler turns into vector instructions, whatever the processor: without calls and branches.

   exp and log split off a power of two and use a minimax polynomial on half an octave (coefficients of Cephes' expf
   and logf, S. Moshier), in double precision a rational function (exp and log); erf is Abramowitz and Stegun 7.1.26.
   Others are the C library's. */

#include <math.h>
#include <stdint.h>

static inline float as_float(int32_t x) { float y; __builtin_memcpy(&y, &x, 4); return y; }
static inline int32_t as_int(float x) { int32_t y; __builtin_memcpy(&y, &x, 4); return y; }

/* exp(x) = 2^n (1 + r + r^2 p): what exp and exp(x) - 1 share */
#define REDUCED_EXP(x) \
    float n = __builtin_rintf(x * 1.44269504f); \
    float r = x - n * 0.693359375f + n * 2.12194440e-4f; \
    float p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r \
               + 1.6666665459e-1f) * r + 5.0000001201e-1f; \
    float q = r * r * p + r;

/* half of 2^n, since 2^n overflows before exp(x) does */
static inline float half_power(float n) { return as_float(((int32_t)n + 126) << 23); }

static inline float exp_f(float x) {
    x = x < -87.6f ? -87.6f : x;
    x = x > 89.f ? 89.f : x;
    REDUCED_EXP(x)
    return (q + 1) * half_power(n) * 2;
}

static inline float expm1_f(float x) {
    x = x < -87.6f ? -87.6f : x;
    x = x > 89.f ? 89.f : x;
    REDUCED_EXP(x)
    float h = half_power(n);
    return 2 * (h * q + (h - 0.5f));
}

static inline float log_f(float x) {
    int32_t bits = as_int(x), n = (bits - 0x3f3504f3) >> 23;
    float m = as_float(bits - (int32_t)((uint32_t)n << 23)) - 1, e = n;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = m * m * -0.5f + (e * -2.12194440e-4f + p * m * (m * m));
    y = e * 0.693359375f + (m + y);
    y = x >= 1.17549435e-38f ? y : x - INFINITY; /* -inf at 0; denormals count as 0, as in a run; NaN stays */
    y = x == INFINITY ? x : y;
    return x < 0 ? NAN : y;
}

static inline float log1p_f(float x) {
    float u = 1 + x;
    return u > 0 && x < 1 ? log_f(u) - ((u - 1) - x) / u : log_f(u);
}

static inline float erf_f(float x) {
    float a = __builtin_fabsf(x), t = 1 / (0.3275911f * a + 1);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    return __builtin_copysignf(1 - p * t * exp_f(-a * a), x);
}

static inline float tanh_f(float x) {
    float e = expm1_f(-2 * __builtin_fabsf(x));
    return __builtin_copysignf(e / (2 + e), x);
}

static inline double as_double(int64_t x) { double y; __builtin_memcpy(&y, &x, 8); return y; }
static inline int64_t as_long(double x) { int64_t y; __builtin_memcpy(&y, &x, 8); return y; }

#define REDUCED_EXP_D(x) \
    double n = __builtin_rint(x * 1.4426950408889634); \
    double r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6, s = r * r; \
    double p = r * ((1.26177193074810590878e-4 * s + 3.02994407707441961300e-2) * s + 1); \
    double q = ((3.00198505138664455042e-6 * s + 2.52448340349684104192e-3) * s + 2.27265548208155028766e-1) * s + 2; \
    double e = 2 * p / (q - p);

static inline double half_power_d(double n) { return as_double(((int64_t)(int32_t)n + 1022) << 52); }

static inline double exp_d(double x) {
    x = x < -708.3 ? -708.3 : x;
    x = x > 710 ? 710 : x;
    REDUCED_EXP_D(x)
    return (e + 1) * half_power_d(n) * 2;
}

static inline double expm1_d(double x) {
    x = x < -708.3 ? -708.3 : x;
    x = x > 710 ? 710 : x;
    REDUCED_EXP_D(x)
    double h = half_power_d(n);
    return 2 * (h * e + (h - 0.5));
}

static inline double log_d(double x) {
    int64_t bits = as_long(x), n = (bits - 0x3fe6a09e667f3bcd) >> 52;
    double m = as_double(bits - (int64_t)((uint64_t)n << 52)) - 1, e = (int32_t)n, s = m * m;
    double p = 1.01875663804580931796e-4 * m + 4.97494994976747001425e-1;
    p = p * m + 4.70579119878881725854;
    p = p * m + 1.44989225341610930846e1;
    p = p * m + 1.79368678507819816313e1;
    p = p * m + 7.70838733755885391666;
    double q = m + 1.12873587189167450590e1;
    q = q * m + 4.52279145837532221105e1;
    q = q * m + 8.29875266912776603211e1;
    q = q * m + 7.11544750618563894466e1;
    q = q * m + 2.31251620126765340583e1;
    double y = m * (s * p / q) - e * 2.121944400546905827679e-4 - 0.5 * s;
    y = e * 0.693359375 + (m + y);
    y = x >= 2.2250738585072014e-308 ? y : x - INFINITY;
    y = x == INFINITY ? x : y;
    return x < 0 ? NAN : y;
}

static inline double log1p_d(double x) {
    double u = 1 + x;
    return u > 0 && x < 1 ? log_d(u) - ((u - 1) - x) / u : log_d(u);
}

static inline double tanh_d(double x) {
    double e = expm1_d(-2 * __builtin_fabs(x));
    return __builtin_copysign(e / (2 + e), x);
}

/* x^n by squaring, for a constant n: the loop is unrolled */
#define INTEGER_POWER(type, name) \
    static inline type name(type x, int n) { \
        type y = 1; \
        for (; n; n >>= 1, x *= x) y = n & 1 ? y * x : y; \
        return y; \
    }
INTEGER_POWER(float, integer_power)
INTEGER_POWER(double, integer_power_d)

#define OF_TYPE(x, single, both) _Generic((x), float: single, default: both)(x)
#define EXP(x) OF_TYPE(x, exp_f, exp_d)
#define EXPM1(x) OF_TYPE(x, expm1_f, expm1_d)
#define LOG(x) OF_TYPE(x, log_f, log_d)
#define LOG1P(x) OF_TYPE(x, log1p_f, log1p_d)
#define ERF(x) OF_TYPE(x, erf_f, erf)
#define TANH(x) OF_TYPE(x, tanh_f, tanh_d)
#define SQRT(x) OF_TYPE(x, __builtin_sqrtf, sqrt)
#define ABS(x) OF_TYPE(x, __builtin_fabsf, fabs)
#define FLOOR(x) OF_TYPE(x, __builtin_floorf, floor)
#define COS(x) OF_TYPE(x, cosf, cos)
#define SIN(x) OF_TYPE(x, sinf, sin)
#define INTEGER_POW(x, n) _Generic((x), float: integer_power, default: integer_power_d)(x, n)
#define POW(x, y) _Generic((x), float: powf, default: pow)(x, y)
