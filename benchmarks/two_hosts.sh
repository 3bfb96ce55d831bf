#!/bin/sh
# Two hosts as network namespaces, joined by a cable of their own: one fit over both by torchrun.
#
#     sh benchmarks/two_hosts.sh [FOLDER]        needs Linux, iproute2 and root; about a minute
#
# Each namespace sees only its own loopback and one end of the cable, so that what a process says to
# another goes over it. The same fit is run by two processes of one host (the weights must have the same
# bits) and by one process (another order of sums in float32, so the losses are about the same). The
# namespaces are taken away at the end.
set -eu
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
python=${PYTHON:-python}
striate=${STRIATE:-striate}
name=striate$$
trap 'ip netns del $name-a 2>/dev/null; ip netns del $name-b 2>/dev/null' EXIT
ip netns add "$name-a"
ip netns add "$name-b"
ip link add cable-a netns "$name-a" type veth peer name cable-b netns "$name-b"
for end in a b; do
    number=$([ $end = a ] && echo 1 || echo 2)
    ip netns exec "$name-$end" ip link set lo up
    ip netns exec "$name-$end" ip addr add "10.77.0.$number/24" dev "cable-$end"
    ip netns exec "$name-$end" ip link set "cable-$end" up
done

"$python" - "$folder/pictures" <<'MAKE'
import sys
from pathlib import Path
import numpy as np
from PIL import Image
rng = np.random.default_rng(0)
for number in range(90):
    pixels = rng.integers(0, 120, (32, 32, 3)).astype(np.uint8)
    pixels[8:24, 8:24, number % 2] += 100
    place = Path(sys.argv[1], f"class-{number % 2}")
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(place / f"{number:03}.png")
MAKE

export OMP_NUM_THREADS=1
fit="fit $folder/pictures --method scratch --image-size 32 --epochs 5 --device cpu"
model="[conv8-bn-relu]x2 - gap - fc2"
"$striate" $fit --model "$model" --out "$folder/alone" >"$folder/alone.log" 2>&1
"$striate" $fit --model "$model" --out "$folder/one" --nproc 2 >"$folder/one.log" 2>&1
for end in a b; do
    GLOO_SOCKET_IFNAME=cable-$end ip netns exec "$name-$end" \
        "$python" -m torch.distributed.run --nnodes 2 --nproc-per-node 1 --rdzv-id striate \
        --rdzv-backend c10d --rdzv-endpoint 10.77.0.1:29500 --rdzv-conf "is_host=$([ $end = a ] && echo 1 || echo 0)" \
        --local-addr "10.77.0.$([ $end = a ] && echo 1 || echo 2)" \
        --no-python "$striate" $fit --model "$model" --out "$folder/two" \
        >"$folder/$end.log" 2>&1 &
    eval "pid_$end=$!"
done
wait "$pid_a"
wait "$pid_b"
ip netns exec "$name-a" ip -s link show cable-a | sed -n '/RX/{n;s/^ *\([0-9]*\).*/over the cable to the first host: \1 bytes/p}'

"$python" - "$folder" <<'COMPARE'
import csv, sys
from pathlib import Path
folder = Path(sys.argv[1])
one, two = (folder.joinpath(name, "model.safetensors").read_bytes() for name in ("one", "two"))
print("two hosts and two processes of one host:", "the same bits" if one == two else "other weights")
for name in ("alone", "two"):
    with folder.joinpath(name, "history.csv").open(newline="") as file:
        losses = [f"{float(row['train_loss']):.5f}" for row in csv.DictReader(file)]
    print(f"losses of {'one process' if name == 'alone' else 'two hosts'}: {' '.join(losses)}")
sys.exit(one != two)
COMPARE
