"""Recording: running code on tracers, which write down what is done to them."""
