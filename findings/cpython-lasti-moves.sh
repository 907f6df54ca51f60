#!/usr/bin/env bash
# Version: CPython 3.11 (seen with 3.11.7)
# Seen: f_lasti of a frame that calls `__getitem__` from one and the same expression, in a loop, is one number for
#       the first seven calls and another one afterwards, once the interpreter has specialised the instruction.
# Expected: one expression, one offset. A tracer that tells the places of a user's code apart by code object and
#       f_lasti takes the loop apart after the seventh iteration. `co_positions` gives the same piece of the line
#       for both offsets.
# Output:
#   2 offsets, the second from call 7 on; 1 position
# Exits with 0 while this is so, and with another status once it is not.
set -euo pipefail
for python in "${PYTHON:-}" python3.11 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11.*/bin/python python3; do
  if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then break; fi
done
"$python" - <<'EOF'
import sys


class Asked:
    def __init__(self):
        self.offsets, self.positions = [], []

    def __getitem__(self, key):
        frame = sys._getframe(1)
        self.offsets.append(frame.f_lasti)
        self.positions.append(list(frame.f_code.co_positions())[frame.f_lasti // 2])


def loop(asked):
    for _ in range(200):
        asked[0]


asked = Asked()
loop(asked)
offsets = sorted(set(asked.offsets), key=asked.offsets.index)
first = asked.offsets.index(offsets[-1])
positions = len(set(asked.positions))
print(f"{len(offsets)} offsets, the second from call {first} on; {positions} position")
sys.exit(not (sys.version_info[:2] == (3, 11) and (len(offsets), first, positions) == (2, 7, 1)))
EOF
