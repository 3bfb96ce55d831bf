// Forward, or gradient of the input, in 3-D with many taps: a tile of HEIGHT rows of some planes.
//
// The sums stay where they are. The outermost loop is over the taps along the depth, for each of which
// the tile moves one plane on in a ring of input planes; bands are read for each anew.
//
// Also given at compile time: HEIGHT rows of outputs.
#include "bands.h"

constexpr int THREADS = WARPS * 32, READ_ROWS = HEIGHT + KH - 1;

KERNEL(THREADS, 2)
tile(CONSTANT TensorMap in_map, CONSTANT TensorMap out_map, const u16* __restrict__ x,
     const u16* __restrict__ taps, const u16* __restrict__ bias, u16* __restrict__ y, CONSTANT Plan p) {
  const int row_bytes = (p.blocks + 1) * BLOCK, plane_bytes = READ_ROWS * row_bytes, places = p.streams + 1;
  const u32 ring = shared_address(shared), barriers = ring + p.barriers;
  const int warp = threadIdx.x / 32, lane_id = threadIdx.x % 32;
  const int chunk = blockIdx.x % p.chunks;
  const Unit unit = unit_of(p, blockIdx.x / p.chunks, p.streams);
  u16* const staged_taps = (u16*)(shared + places * plane_bytes);
  auto issue = [&](int plane) {  // counted from the first that the tile reads
    const int place = plane % places;
    barrier_expect(barriers + place * 8, plane_bytes);
    load_box(ring + place * plane_bytes, &in_map, barriers + place * 8, chunk * CHANNELS,
             unit.column - p.low_columns, unit.row - p.low_rows, unit.plane - p.low_planes + plane, unit.volume);
  };
  const int planes = KD + p.streams - 1;
  if (threadIdx.x == 0) {
    for (int i = 0; i <= places; i++) barrier_init(barriers + i * 8);
    publish_barriers();
    for (int i = 0; i < min(places, planes); i++) issue(i);
  }
  load_taps(ring + places * plane_bytes, staged_taps, taps, chunk, p, barriers + places * 8);
  __syncthreads();

  const Lane lane(p, lane_id, warp);
  Finish finish(bias, chunk * CHANNELS + warp * 4, p);
  Band band_of(staged_taps + warp * 4 * TAPS, p.flip, lane_id);
  u32 in0 = ring + lane.block[0] * BLOCK + lane.first, in1 = ring + lane.block[1] * BLOCK + lane.first;
  keep(in0), keep(in1);
  int place0 = lane.stream[0], place1 = lane.stream[1];
  float sums[HEIGHT][4][4];
#pragma unroll
  for (int row = 0; row < HEIGHT; row++)
#pragma unroll
    for (int c = 0; c < 4; c++)
#pragma unroll
      for (int i = 0; i < 4; i++) sums[row][c][i] = 0.f;
  barrier_wait(barriers + places * 8, 0);
  for (int i = 0; i < p.streams - 1; i++) barrier_wait(barriers + i * 8, 0);
#pragma unroll 1
  for (int kd = 0; kd < KD; kd++) {
    const int newest = kd + p.streams - 1, plane = unit.plane - p.low_planes + kd;
    barrier_wait(barriers + newest % places * 8, newest / places & 1);
    if (plane + p.streams > 0 && plane < p.in_planes) {
      u32 band[KH][4][2];
#pragma unroll
      for (int k = 0; k < KH; k++)
#pragma unroll
        for (int c = 0; c < 4; c++) band_of.get(band[k][c], c, k);
      u32 at0 = in0 + place0 * plane_bytes, at1 = in1 + place1 * plane_bytes;
#pragma unroll
      for (int row = 0; row < READ_ROWS; row++) {
        const Reads reads = read_row(at0, at1, lane.step);
        at0 += row_bytes, at1 += row_bytes;
#pragma unroll
        for (int c = 0; c < 4; c++) {
          u32 a[4];
          fragment(a, reads, c, lane);
#pragma unroll
          for (int out = 0; out < HEIGHT; out++)
            if (row - out >= 0 && row - out < KH) multiply_add(sums[out][c], a, band[row - out][c]);
        }
      }
    }
    band_of.skip(KH);
    if (++place0 == places) place0 = 0;
    if (++place1 == places) place1 = 0;
    __syncthreads();
    if (threadIdx.x == 0 && kd + places < planes) issue(kd + places);
  }
  // Outputs are staged in the ring: [plane][row][column][channel].
  const int out_row = p.blocks * BLOCK;
#pragma unroll
  for (int row = 0; row < HEIGHT; row++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const u32 at = ring + (lane.stream[i] * HEIGHT + row) * out_row + lane.block[i] * BLOCK + lane.first;
      if (lane.has[i]) finish.put(at, lane, sums[row], i);
    }
  publish_to_copies();
  const bool bad = __syncthreads_or(finish.bad != 0.f);
  if (threadIdx.x == 0) {
    for (int plane = 0; plane < p.streams; plane++)
      if (unit.plane + plane < p.out_planes)
        store_box(&out_map, ring + plane * HEIGHT * out_row, chunk * CHANNELS, unit.column, unit.row,
                  unit.plane + plane, unit.volume);
    commit_stores();
    if (bad) wait_stores_done();
    else wait_stores_read();
  }
  if (bad) {
    __syncthreads();
    repair<THREADS>(p, unit, p.streams, HEIGHT, chunk, x, taps, bias, y);
  }
}
