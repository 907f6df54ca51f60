# Times one model: Rscript time.R <template without .cpp> <data.R>; prints compile, first, value and gradient, fit.
suppressMessages({library(TMB); library(Matrix)})
arguments <- commandArgs(TRUE)
seconds <- function(code) system.time(code)[["elapsed"]]
setwd(dirname(arguments[1]))
name <- basename(arguments[1])
source(arguments[2])  # data, parameters, random, at: a matrix with one row for each point
built <- seconds(utils::capture.output(compile(paste0(name, ".cpp"))))
dyn.load(dynlib(name))
first <- seconds({
  obj <- MakeADFun(data, parameters, random = random, DLL = name, silent = TRUE)
  gradient <- obj$gr(obj$par)
})
value <- obj$fn(obj$par)
each <- sapply(seq_len(nrow(at)), function(i) seconds({obj$fn(at[i, ]); obj$gr(at[i, ])}))
fit <- seconds({
  found <- nlminb(obj$par, obj$fn, obj$gr, control = list(eval.max = 1000, iter.max = 1000))
  report <- sdreport(obj)
})
cat(sprintf("%.15g\n", c(built, first, median(each), fit, value, found$objective)))
