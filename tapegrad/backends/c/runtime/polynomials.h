/* Polynomials of special functions, written by benchmarks/c_coefficients.py. Even and odd powers
   go apart, so that a processor can work on both at once. */

#ifdef __FMA__
#define TG_MULTIPLY_ADD(x, y, z) __builtin_fma(x, y, z)
#else
#define TG_MULTIPLY_ADD(x, y, z) ((x) * (y) + (z))
#endif

/* sin(pi r) / r for r**2 = x + 1/8, |r| <= 1/2 */
TG_FORM tg_sin_pi_over(double x) {
    const double z = x * x;
    double even = 7.69784727556448e-07;
    even = TG_MULTIPLY_ADD(even, z, 0.000447471036106566);
    even = TG_MULTIPLY_ADD(even, z, 0.07764717237242026);
    even = TG_MULTIPLY_ADD(even, z, 2.332998758213981);
    even = TG_MULTIPLY_ADD(even, z, 2.534324262661598);
    double odd = -2.228371216069697e-08;
    odd = TG_MULTIPLY_ADD(odd, z, -2.1132930986204534e-05);
    odd = TG_MULTIPLY_ADD(odd, z, -0.007027808542952501);
    odd = TG_MULTIPLY_ADD(odd, z, -0.5593251868104577);
    odd = TG_MULTIPLY_ADD(odd, z, -4.557629442461073);
    return TG_MULTIPLY_ADD(odd, x, even);
}

/* log Gamma(2 + x) / x for |x| <= 1/2 */
TG_FORM tg_gamma_near_2(double x) {
    const double z = x * x;
    double even = -1.3412819758517287e-07;
    even = TG_MULTIPLY_ADD(even, z, -4.303558760359961e-07);
    even = TG_MULTIPLY_ADD(even, z, -2.0449201467015115e-06);
    even = TG_MULTIPLY_ADD(even, z, -9.438458716242811e-06);
    even = TG_MULTIPLY_ADD(even, z, -4.4926351103833334e-05);
    even = TG_MULTIPLY_ADD(even, z, -0.00022315475074520367);
    even = TG_MULTIPLY_ADD(even, z, -0.0011927539120010226);
    even = TG_MULTIPLY_ADD(even, z, -0.0073855510286681535);
    even = TG_MULTIPLY_ADD(even, z, -0.06735230105319814);
    even = TG_MULTIPLY_ADD(even, z, 0.42278433509846713);
    double odd = 6.379047507619774e-08;
    odd = TG_MULTIPLY_ADD(odd, z, 2.0304806751615227e-07);
    odd = TG_MULTIPLY_ADD(odd, z, 9.578663334114758e-07);
    odd = TG_MULTIPLY_ADD(odd, z, 4.374374916915131e-06);
    odd = TG_MULTIPLY_ADD(odd, z, 2.050726741605779e-05);
    odd = TG_MULTIPLY_ADD(odd, z, 9.945750909889392e-05);
    odd = TG_MULTIPLY_ADD(odd, z, 0.0005096695248853096);
    odd = TG_MULTIPLY_ADD(odd, z, 0.002890510330738737);
    odd = TG_MULTIPLY_ADD(odd, z, 0.02058080842778457);
    odd = TG_MULTIPLY_ADD(odd, z, 0.3224670334241132);
    return TG_MULTIPLY_ADD(odd, x, even);
}

/* psi(3/2 + x) by the distance to its root, for |x| <= 1/2 */
TG_FORM tg_digamma_near_root(double x) {
    const double z = x * x;
    double even = 0.00012230983055406747;
    even = TG_MULTIPLY_ADD(even, z, 9.173383289174792e-05);
    even = TG_MULTIPLY_ADD(even, z, 0.0003268068044141764);
    even = TG_MULTIPLY_ADD(even, z, 0.0006899717801166841);
    even = TG_MULTIPLY_ADD(even, z, 0.0015635679757533885);
    even = TG_MULTIPLY_ADD(even, z, 0.0035180800751066694);
    even = TG_MULTIPLY_ADD(even, z, 0.007927024067961237);
    even = TG_MULTIPLY_ADD(even, z, 0.017907248195969127);
    even = TG_MULTIPLY_ADD(even, z, 0.04076083394462657);
    even = TG_MULTIPLY_ADD(even, z, 0.09498872445283);
    even = TG_MULTIPLY_ADD(even, z, 0.24054248424078736);
    even = TG_MULTIPLY_ADD(even, z, 0.9510558760318328);
    double odd = -8.153978973309418e-05;
    odd = TG_MULTIPLY_ADD(odd, z, -6.11554261750751e-05);
    odd = TG_MULTIPLY_ADD(odd, z, -0.0002178682145501451);
    odd = TG_MULTIPLY_ADD(odd, z, -0.0004599625144612576);
    odd = TG_MULTIPLY_ADD(odd, z, -0.001042261556504223);
    odd = TG_MULTIPLY_ADD(odd, z, -0.002344650082351321);
    odd = TG_MULTIPLY_ADD(odd, z, -0.00528001782089874);
    odd = TG_MULTIPLY_ADD(odd, z, -0.011908215172584002);
    odd = TG_MULTIPLY_ADD(odd, z, -0.02697579684427536);
    odd = TG_MULTIPLY_ADD(odd, z, -0.06192213327165706);
    odd = TG_MULTIPLY_ADD(odd, z, -0.14840492305391761);
    odd = TG_MULTIPLY_ADD(odd, z, -0.42362742128146047);
    return TG_MULTIPLY_ADD(odd, x, even);
}

/* (1 + 2 t)**1 exp(t**2) times the 0-fold integral of erfc at t >= 0, x = (t - 3.75) / (t + 3.75) */
TG_FORM tg_erfc_0(double x) {
    const double z = x * x;
    double even = 4.2433038251096756e-10;
    even = TG_MULTIPLY_ADD(even, z, -5.169080644815932e-09);
    even = TG_MULTIPLY_ADD(even, z, 3.866242066283792e-08);
    even = TG_MULTIPLY_ADD(even, z, -2.586489910718322e-07);
    even = TG_MULTIPLY_ADD(even, z, 1.7516189406943677e-06);
    even = TG_MULTIPLY_ADD(even, z, -1.1444134389658475e-05);
    even = TG_MULTIPLY_ADD(even, z, 5.1649093885821704e-05);
    even = TG_MULTIPLY_ADD(even, z, 0.0002937136669846131);
    even = TG_MULTIPLY_ADD(even, z, -0.009746579558275152);
    even = TG_MULTIPLY_ADD(even, z, -0.05869339858961116);
    even = TG_MULTIPLY_ADD(even, z, -0.10880393014175023);
    even = TG_MULTIPLY_ADD(even, z, 0.0035854154854644583);
    even = TG_MULTIPLY_ADD(even, z, 1.2375126308378275);
    double odd = -3.7980647235900285e-11;
    odd = TG_MULTIPLY_ADD(odd, z, 5.485084520083625e-10);
    odd = TG_MULTIPLY_ADD(odd, z, -4.396921916762906e-09);
    odd = TG_MULTIPLY_ADD(odd, z, 2.4301839484503084e-08);
    odd = TG_MULTIPLY_ADD(odd, z, -5.827501862768691e-08);
    odd = TG_MULTIPLY_ADD(odd, z, -9.728413451815077e-07);
    odd = TG_MULTIPLY_ADD(odd, z, 2.238390827660038e-05);
    odd = TG_MULTIPLY_ADD(odd, z, -0.0002901539781378384);
    odd = TG_MULTIPLY_ADD(odd, z, 0.0017556258321915355);
    odd = TG_MULTIPLY_ADD(odd, z, 0.02836227742154398);
    odd = TG_MULTIPLY_ADD(odd, z, 0.09230432116019638);
    odd = TG_MULTIPLY_ADD(odd, z, 0.08227673849015109);
    odd = TG_MULTIPLY_ADD(odd, z, -0.14024059858554702);
    return TG_MULTIPLY_ADD(odd, x, even);
}

/* (1 + 2 t)**2 exp(t**2) times the 1-fold integral of erfc at t >= 0, x = (t - 3.75) / (t + 3.75) */
TG_FORM tg_erfc_1(double x) {
    const double z = x * x;
    double even = 7.295764033191814e-11;
    even = TG_MULTIPLY_ADD(even, z, -1.2343206106200004e-09);
    even = TG_MULTIPLY_ADD(even, z, 1.1289692111593979e-08);
    even = TG_MULTIPLY_ADD(even, z, -7.555855350954115e-08);
    even = TG_MULTIPLY_ADD(even, z, 4.056990113678736e-07);
    even = TG_MULTIPLY_ADD(even, z, -1.5812595195405828e-06);
    even = TG_MULTIPLY_ADD(even, z, -2.666328609720353e-07);
    even = TG_MULTIPLY_ADD(even, z, 0.00010155551535494368);
    even = TG_MULTIPLY_ADD(even, z, -0.0014136734906758496);
    even = TG_MULTIPLY_ADD(even, z, 0.00934089890633028);
    even = TG_MULTIPLY_ADD(even, z, 0.05693561870549144);
    even = TG_MULTIPLY_ADD(even, z, -0.01815912205486502);
    even = TG_MULTIPLY_ADD(even, z, -0.32140184280063877);
    even = TG_MULTIPLY_ADD(even, z, -0.19609985520540663);
    even = TG_MULTIPLY_ADD(even, z, 1.3169823033696375);
    double odd = 1.8706641572179613e-10;
    odd = TG_MULTIPLY_ADD(odd, z, -2.2596958123589703e-09);
    odd = TG_MULTIPLY_ADD(odd, z, 1.521816227081183e-08);
    odd = TG_MULTIPLY_ADD(odd, z, -8.243020652596004e-08);
    odd = TG_MULTIPLY_ADD(odd, z, 4.3332504302473203e-07);
    odd = TG_MULTIPLY_ADD(odd, z, -2.4277607724782597e-06);
    odd = TG_MULTIPLY_ADD(odd, z, 1.4638623323878193e-05);
    odd = TG_MULTIPLY_ADD(odd, z, -8.825348281775044e-05);
    odd = TG_MULTIPLY_ADD(odd, z, 0.00042055824090953735);
    odd = TG_MULTIPLY_ADD(odd, z, 0.00020582950539597232);
    odd = TG_MULTIPLY_ADD(odd, z, -0.031590142594182316);
    odd = TG_MULTIPLY_ADD(odd, z, -0.0535846060421424);
    odd = TG_MULTIPLY_ADD(odd, z, 0.1648046115627954);
    odd = TG_MULTIPLY_ADD(odd, z, 0.3649170356281443);
    odd = TG_MULTIPLY_ADD(odd, z, -0.1630028159471454);
    return TG_MULTIPLY_ADD(odd, x, even);
}

/* (1 + 2 t)**3 exp(t**2) times the 2-fold integral of erfc at t >= 0, x = (t - 3.75) / (t + 3.75) */
TG_FORM tg_erfc_2(double x) {
    const double z = x * x;
    double even = 1.2502358562077144e-09;
    even = TG_MULTIPLY_ADD(even, z, -1.5058659259019155e-08);
    even = TG_MULTIPLY_ADD(even, z, 9.789912812496233e-08);
    even = TG_MULTIPLY_ADD(even, z, -4.919844017366861e-07);
    even = TG_MULTIPLY_ADD(even, z, 2.325607932063129e-06);
    even = TG_MULTIPLY_ADD(even, z, -1.1628419525724201e-05);
    even = TG_MULTIPLY_ADD(even, z, 6.351092932325868e-05);
    even = TG_MULTIPLY_ADD(even, z, -0.0003578847045416888);
    even = TG_MULTIPLY_ADD(even, z, 0.0017559904505709816);
    even = TG_MULTIPLY_ADD(even, z, -0.0036031081612842796);
    even = TG_MULTIPLY_ADD(even, z, -0.04667411517369542);
    even = TG_MULTIPLY_ADD(even, z, 0.08658615979999053);
    even = TG_MULTIPLY_ADD(even, z, 0.25939169363309333);
    even = TG_MULTIPLY_ADD(even, z, -0.40338612743647345);
    even = TG_MULTIPLY_ADD(even, z, -0.5677432596385984);
    even = TG_MULTIPLY_ADD(even, z, 1.3631664345546621);
    double odd = -5.1239797345601373e-11;
    odd = TG_MULTIPLY_ADD(odd, z, 1.3157021620168223e-09);
    odd = TG_MULTIPLY_ADD(odd, z, -1.4738535667851514e-08);
    odd = TG_MULTIPLY_ADD(odd, z, 1.0967965081647093e-07);
    odd = TG_MULTIPLY_ADD(odd, z, -6.468059455974059e-07);
    odd = TG_MULTIPLY_ADD(odd, z, 3.269273568150387e-06);
    odd = TG_MULTIPLY_ADD(odd, z, -1.3968472720834254e-05);
    odd = TG_MULTIPLY_ADD(odd, z, 3.8368724772229e-05);
    odd = TG_MULTIPLY_ADD(odd, z, 0.0001327537614610223);
    odd = TG_MULTIPLY_ADD(odd, z, -0.003293346000201733);
    odd = TG_MULTIPLY_ADD(odd, z, 0.02540187533112535);
    odd = TG_MULTIPLY_ADD(odd, z, 0.021678297367343693);
    odd = TG_MULTIPLY_ADD(odd, z, -0.23125168326524684);
    odd = TG_MULTIPLY_ADD(odd, z, -0.027938274183573336);
    odd = TG_MULTIPLY_ADD(odd, z, 0.7171792606721548);
    odd = TG_MULTIPLY_ADD(odd, z, -0.06274641906055804);
    return TG_MULTIPLY_ADD(odd, x, even);
}

/* (1 + 2 t)**4 exp(t**2) times the 3-fold integral of erfc at t >= 0, x = (t - 3.75) / (t + 3.75) */
TG_FORM tg_erfc_3(double x) {
    const double z = x * x;
    double even = -8.209888394916453e-10;
    even = TG_MULTIPLY_ADD(even, z, 1.3309406664265636e-08);
    even = TG_MULTIPLY_ADD(even, z, -1.1454412739593223e-07);
    even = TG_MULTIPLY_ADD(even, z, 7.159615991248889e-07);
    even = TG_MULTIPLY_ADD(even, z, -3.7307246330505607e-06);
    even = TG_MULTIPLY_ADD(even, z, 1.737285148771702e-05);
    even = TG_MULTIPLY_ADD(even, z, -7.330176645978306e-05);
    even = TG_MULTIPLY_ADD(even, z, 0.00025868481838927157);
    even = TG_MULTIPLY_ADD(even, z, -0.00044796021062312486);
    even = TG_MULTIPLY_ADD(even, z, -0.0037116990168649814);
    even = TG_MULTIPLY_ADD(even, z, 0.042922985325025316);
    even = TG_MULTIPLY_ADD(even, z, -0.09201583181137984);
    even = TG_MULTIPLY_ADD(even, z, -0.1533019019905044);
    even = TG_MULTIPLY_ADD(even, z, 0.6141512840091843);
    even = TG_MULTIPLY_ADD(even, z, -0.13793538929387822);
    even = TG_MULTIPLY_ADD(even, z, -1.0336742798516643);
    even = TG_MULTIPLY_ADD(even, z, 1.3750185359327676);
    double odd = -1.5438764461543101e-09;
    odd = TG_MULTIPLY_ADD(odd, z, 1.8701784890572375e-08);
    odd = TG_MULTIPLY_ADD(odd, z, -1.1784939436721847e-07);
    odd = TG_MULTIPLY_ADD(odd, z, 5.402342138499125e-07);
    odd = TG_MULTIPLY_ADD(odd, z, -2.1540431295133203e-06);
    odd = TG_MULTIPLY_ADD(odd, z, 8.536841997467623e-06);
    odd = TG_MULTIPLY_ADD(odd, z, -3.712070389115363e-05);
    odd = TG_MULTIPLY_ADD(odd, z, 0.00018340536132803936);
    odd = TG_MULTIPLY_ADD(odd, z, -0.0009757400958664169);
    odd = TG_MULTIPLY_ADD(odd, z, 0.004853882847070658);
    odd = TG_MULTIPLY_ADD(odd, z, -0.01608517878017539);
    odd = TG_MULTIPLY_ADD(odd, z, -0.021430550584574784);
    odd = TG_MULTIPLY_ADD(odd, z, 0.2185669517781381);
    odd = TG_MULTIPLY_ADD(odd, z, -0.20923182504673982);
    odd = TG_MULTIPLY_ADD(odd, z, -0.5611915726387388);
    odd = TG_MULTIPLY_ADD(odd, z, 0.9535690722626315);
    odd = TG_MULTIPLY_ADD(odd, z, 0.14894563817799875);
    return TG_MULTIPLY_ADD(odd, x, even);
}
