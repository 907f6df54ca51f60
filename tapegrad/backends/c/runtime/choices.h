/* Choices between single numbers, in loops of which each step waits for the one before. The masks that loops over
   rows need take their time there: they move numbers to other registers and back. */

#define TG_CHOICE static inline __attribute__((always_inline, unused)) double

TG_CHOICE tg_one_where(int64_t c, double x, double y) { return c ? x : y; }
TG_CHOICE tg_one_kept(int64_t c, double x) { return c ? x : 0.0; }
TG_CHOICE tg_one_maximum(double x, double y) { return x >= y || x != x ? x : y; }
TG_CHOICE tg_one_minimum(double x, double y) { return x <= y || x != x ? x : y; }
TG_CHOICE tg_one_fmax(double x, double y) { return x >= y || y != y ? x : y; }
TG_CHOICE tg_one_fmin(double x, double y) { return x <= y || y != y ? x : y; }
TG_CHOICE tg_one_relu(double x) { return x <= 0.0 ? 0.0 : x; }
TG_CHOICE tg_one_gated_mul(double gate, double x) { return gate != 0.0 ? gate * x : 0.0; }
TG_CHOICE tg_one_gated_div(double gate, double x) { return gate != 0.0 ? gate / x : 0.0; }
