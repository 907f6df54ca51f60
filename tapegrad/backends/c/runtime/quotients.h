/* log1p(u) / u and its derivatives: by Gauss's rule of ten nodes next to 0, by parts further out. */

static const double tg_gauss_nodes[10] = {
    0.013046735741414140, 0.067468316655507744, 0.16029521585048780, 0.28330230293537640, 0.42556283050918439,
    0.57443716949081561, 0.71669769706462360, 0.83970478414951220, 0.93253168334449226, 0.98695326425858586};
static const double tg_gauss_weights[10] = {
    0.033335672154344069, 0.074725674575290296, 0.10954318125799102, 0.13463335965499818, 0.14776211235737644,
    0.14776211235737644, 0.13463335965499818, 0.10954318125799102, 0.074725674575290296, 0.033335672154344069};

TG_FORM tg_log1p_over(double n, double u) {
    if (n == 0.0) {
        const double found = log1p(u) / u;
        return u == 0.0 ? 1.0 : u == INFINITY ? 0.0 : found;
    }
    if (!(n > 0.0 && n < 100.0 && n == rint(n))) return NAN;
    const int order = (int)n, near = (u > -0.35) & (u < 0.45);
    double total = 0.0, factorial = 1.0, found = log1p(u) / u, power = 1.0;
    const double low = near ? u : 0.0, step = 1.0 / (1.0 + u);
    for (int i = 0; i < 10; i++) {
        const double inner = 1.0 / (1.0 + low * tg_gauss_nodes[i]);
        total += tg_gauss_weights[i] * inner * tg_power_of(-inner * tg_gauss_nodes[i], order);
    }
    for (int k = 1; k <= order; k++) {
        power *= step;
        found = ((k % 2 ? factorial : -factorial) * power - k * found) / u;
        factorial *= k;
    }
    return near ? factorial * total : found;
}
