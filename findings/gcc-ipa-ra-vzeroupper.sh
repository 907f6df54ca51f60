#!/usr/bin/env bash
# Version: GCC 12.2.0 (Debian 12), x86-64, at -O3 -mavx2
# Seen: a function that fills the upper halves of vector registers, and then calls a static function of the same
# file that leaves them alone, returns without `vzeroupper`. On Intel's processors, the SSE code of its caller is
# then slow: each call of glibc's exp, and much of NumPy, took 50 ns more.
# Expected: `vzeroupper` before the return, as with -fno-ipa-ra.
# Output:
#   by itself     ymm 3 vzeroupper 0
#   -fno-ipa-ra   ymm 3 vzeroupper 1
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/twice.c" <<'EOF'
static __attribute__((noinline)) void put(double *to, const double *from) { to[0] = from[3]; }

void twice(double *to, const double *from) {
    double room[8];
    for (int i = 0; i < 8; i++) room[i] = 2.0 * from[i];
    put(to, room);
}
EOF

count() {
  "${CC:-gcc}" -O3 -mavx2 "${@:2}" -S "$folder/twice.c" -o "$folder/twice.s"
  awk '/^twice:/,/ret$/' "$folder/twice.s" > "$folder/body.s"
  printf '%-13s ymm %s vzeroupper %s\n' "$1" "$(grep -c ymm "$folder/body.s")" "$(grep -c vzeroupper "$folder/body.s" || true)"
}

"${CC:-gcc}" --version | head -n 1
count "by itself" | tee "$folder/found"
count "-fno-ipa-ra" -fno-ipa-ra | tee -a "$folder/found"
diff "$folder/found" - <<'EOF'
by itself     ymm 3 vzeroupper 0
-fno-ipa-ra   ymm 3 vzeroupper 1
EOF
