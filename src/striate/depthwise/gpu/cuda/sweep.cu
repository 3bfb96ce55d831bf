// Forward, or gradient of the input: sweeps down the rows of a segment.
//
// An input row is read once from shared memory and added to the KH output rows that it reaches, whose
// sums rotate through KH places in registers. One warp issues copies into a ring of ROWS input rows and
// out of two pairs of output rows; the others compute, two rows a meeting.
//
// Also given at compile time: GROUPS of planes that a warp sums apart, ROWS, REGISTERS of a computing
// thread (0: those that the compiler gives).
#include "bands.h"

constexpr int COMPUTE = WARPS * 32, MEETING = COMPUTE + 32;
constexpr int THREADS = COMPUTE + (REGISTERS ? 128 : 32);  // registers move between whole warp groups
constexpr bool ONE_PLANE = KD == 1 && GROUPS == 1;

KERNEL(THREADS, 1)
sweep(CONSTANT TensorMap in_map, CONSTANT TensorMap out_map, const u16* __restrict__ x,
      const u16* __restrict__ taps, const u16* __restrict__ bias, u16* __restrict__ y, CONSTANT Plan p) {
  const int in_planes = p.streams * GROUPS + KD - 1, out_planes = p.streams * GROUPS;
  const int plane_bytes = (p.blocks + 1) * BLOCK, row_bytes = in_planes * plane_bytes;
  const int out_bytes = out_planes * p.blocks * BLOCK, steps = p.run + KH - 1;
  const u32 ring = shared_address(shared), staged = ring + ROWS * row_bytes, barriers = ring + p.barriers;
  const int warp = threadIdx.x / 32, lane_id = threadIdx.x % 32;
  const int chunk = blockIdx.x % p.chunks, worker = blockIdx.x / p.chunks;
  // The taps lie where outputs will be staged, until they are in registers.
  u16* const staged_taps = (u16*)(shared + ROWS * row_bytes);
  auto begins = [&](const Unit& unit) { return min(max(0, p.low_rows - unit.row), KH - 1); };
  auto exists = [&](int row) { return row >= 0 && row < p.in_rows; };

  volatile int* const met_bad = (int*)(shared + p.barriers + (ROWS + 1) * 8);
  if (threadIdx.x == 0) {
    *met_bad = 0;
    for (int i = 0; i <= ROWS; i++) barrier_init(barriers + i * 8);
    publish_barriers();
  }
  load_taps(staged, staged_taps, taps, chunk, p, barriers + ROWS * 8);
  __syncthreads();
  if (warp >= WARPS) {
    if constexpr (REGISTERS > 0) fewer_registers<40>();
    if (warp == WARPS) {
      int next = worker, step = 0;
      Unit ahead = unit_of(p, next, out_planes);
      step = begins(ahead);
      auto issue = [&](int slot) {  // the next input row that exists
        while (next < p.units) {
          const Unit unit = ahead;
          const int row = unit.row - p.low_rows + step;
          if (++step == steps) {
            next += p.parts;
            if (next < p.units) ahead = unit_of(p, next, out_planes), step = begins(ahead);
          }
          if (!exists(row)) continue;
          barrier_expect(barriers + slot * 8, row_bytes);
          load_box(ring + slot * row_bytes, &in_map, barriers + slot * 8, chunk * CHANNELS,
                   unit.column - p.low_columns, row, unit.plane - p.low_planes, unit.volume);
          return;
        }
      };
      if (lane_id == 0)
        for (int i = 0; i < ROWS; i++) issue(i);
      __syncwarp();
      meet<1, MEETING>();
      int slot = 0, buffer = 0;
      for (int u = worker; u < p.units; u += p.parts) {
        const Unit unit = unit_of(p, u, out_planes);
        for (int at = begins(unit); at < steps; at += 2, buffer ^= 1) {
          meet<1, MEETING>();
          if (lane_id == 0) {
#pragma unroll
            for (int r = 0; r < 2; r++) {
              const int row = unit.row + at + r - (KH - 1);
              if (at + r >= KH - 1 && at + r < steps && row < p.out_rows)
                store_box(&out_map, staged + (buffer * 2 + r) * out_bytes, chunk * CHANNELS, unit.column, row,
                          unit.plane, unit.volume);
            }
            commit_stores();
#pragma unroll
            for (int r = 0; r < 2; r++)
              if (at + r < steps && exists(unit.row - p.low_rows + at + r)) {
                issue(slot);
                if (++slot == ROWS) slot = 0;
              }
            wait_stores_read();
          }
          __syncwarp();
        }
      }
      wait_stores_done();
      meet<1, MEETING>();
    }
  } else {
    if constexpr (REGISTERS > 0) more_registers<REGISTERS>();
    const Lane lane(p, lane_id, warp);
    Finish finish(bias, chunk * CHANNELS + warp * 4, p);
    u32 band[KD][KH][4][2];
    {
      const Band from(staged_taps + warp * 4 * TAPS, p.flip, lane_id);
      barrier_wait(barriers + ROWS * 8, 0);
#pragma unroll
      for (int row = 0; row < KD * KH; row++)
#pragma unroll
        for (int c = 0; c < 4; c++) from.get(band[row / KH][row % KH][c], c, row);
    }
    u32 in0 = ring + lane.stream[0] * GROUPS * plane_bytes + lane.block[0] * BLOCK + lane.first;
    u32 in1 = ring + lane.stream[1] * GROUPS * plane_bytes + lane.block[1] * BLOCK + lane.first;
    u32 out0 = staged + (lane.stream[0] * GROUPS * p.blocks + lane.block[0]) * BLOCK + lane.first;
    u32 out1 = staged + (lane.stream[1] * GROUPS * p.blocks + lane.block[1]) * BLOCK + lane.first;
    keep(in0), keep(in1), keep(out0), keep(out1);
    meet<1, MEETING>();  // taps are read, rows are on their way
    int slot = 0, parity = 0, buffer = 0;
    float sums[GROUPS][KH][4][4];
    auto clear = [&](int place) {
#pragma unroll
      for (int a = 0; a < GROUPS; a++)
#pragma unroll
        for (int c = 0; c < 4; c++)
#pragma unroll
          for (int i = 0; i < 4; i++) sums[a][place][c][i] = 0.f;
    };
    auto put = [&](int place, int r) {
      const u32 to = (buffer * 2 + r) * out_bytes;
#pragma unroll
      for (int a = 0; a < GROUPS; a++) {
        const u32 at = to + a * p.blocks * BLOCK;
        if (lane.has[0]) finish.put(out0 + at, lane, sums[a][place], 0);
        if (lane.has[1]) finish.put(out1 + at, lane, sums[a][place], 1);
      }
    };
#pragma unroll 1
    for (int u = worker; u < p.units; u += p.parts) {
      const Unit unit = unit_of(p, u, out_planes);
      int at = begins(unit);
#pragma unroll
      for (int place = 0; place < KH; place++) clear(place);
#pragma unroll 1
      while (at < steps) {
#pragma unroll
        for (int turn = 0; turn < KH; turn++) {  // places are compile-time constants
          if (at >= steps) break;
          u32 from[2];
          bool reads[2], ends[2];
#pragma unroll
          for (int r = 0; r < 2; r++) {
            const bool inside = at + r < steps;
            reads[r] = inside && exists(unit.row - p.low_rows + at + r);
            ends[r] = inside && at + r >= KH - 1 && unit.row + at + r - (KH - 1) < p.out_rows;
            from[r] = slot * row_bytes;
            if (reads[r]) {
              barrier_wait(barriers + slot * 8, parity);
              if (++slot == ROWS) slot = 0, parity ^= 1;
            }
          }
          // The newest output row is at `place`; the one that this input row completes is after it.
          if constexpr (ONE_PLANE) {  // both rows' products before the first row's outputs are put
            const int place = 2 * turn % KH, after = (place + 1) % KH;
            u32 second[4][4];
            if (reads[0]) {
              const Reads row = read_row(in0 + from[0], in1 + from[0], lane.step);
#pragma unroll
              for (int c = 0; c < 4; c++) {
                u32 a[4];
                fragment(a, row, c, lane);
#pragma unroll
                for (int k = KH - 1; k > 0; k--)
                  multiply_add(sums[0][(place - k + KH) % KH][c], a, band[0][k][c]);
                multiply(sums[0][place][c], a, band[0][0][c]);
              }
            } else {
              clear(place);
            }
            if (reads[1]) {
              const Reads row = read_row(in0 + from[1], in1 + from[1], lane.step);
#pragma unroll
              for (int c = 0; c < 4; c++) {
                fragment(second[c], row, c, lane);
#pragma unroll
                for (int k = KH - 1; k > 0; k--)
                  multiply_add(sums[0][(after - k + KH) % KH][c], second[c], band[0][k][c]);
              }
            }
            if (ends[0]) put(after, 0);
            if (reads[1]) {
#pragma unroll
              for (int c = 0; c < 4; c++) multiply(sums[0][after][c], second[c], band[0][0][c]);
            } else {
              clear(after);
            }
            if (ends[1]) put((after + 1) % KH, 1);
          } else {
#pragma unroll
            for (int r = 0; r < 2; r++) {
              const int place = (2 * turn + r) % KH;
              if (reads[r]) {
#pragma unroll
                for (int plane = 0; plane < GROUPS + KD - 1; plane++) {
                  const u32 here = from[r] + plane * plane_bytes;
                  const Reads row = read_row(in0 + here, in1 + here, lane.step);
#pragma unroll
                  for (int c = 0; c < 4; c++) {
                    u32 a[4];
                    fragment(a, row, c, lane);
#pragma unroll
                    for (int group = 0; group < GROUPS; group++) {
                      const int kd = plane - group;
                      if (kd < 0 || kd >= KD) continue;
#pragma unroll
                      for (int k = KH - 1; k >= 0; k--) {
                        float(&sum)[4] = sums[group][(place - k + KH) % KH][c];
                        if (k == 0 && kd == 0) multiply(sum, a, band[kd][k][c]);
                        else multiply_add(sum, a, band[kd][k][c]);
                      }
                    }
                  }
                }
              } else {
                clear(place);
              }
              if (ends[r]) put((place + 1) % KH, r);
            }
          }
          if (ends[0] || ends[1]) publish_to_copies();
          meet<1, MEETING>();
          at += 2, buffer ^= 1;
        }
      }
    }
    if (finish.bad != 0.f) *met_bad = 1;
    meet<1, MEETING>();  // the outputs are in memory
    if (*met_bad)
      for (int u = worker; u < p.units; u += p.parts)
        repair<COMPUTE>(p, unit_of(p, u, out_planes), out_planes, p.run, chunk, x, taps, bias, y);
  }
}
