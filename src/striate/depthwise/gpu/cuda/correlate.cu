// Gradient of the weight: sweeps down the rows like the forward convolution.
//
// A[m][k] is column m of the input at strip k, B[k][n] column n of the output's gradient at strip k, and
// their product, summed over all strips, holds the gradient of tap m - n. The gradient's last KH rows
// stay in registers; each input row is multiplied with all of them. The sums of the blocks are added in
// a fixed order by the last block of a chunk to finish.
//
// Also given at compile time: DEPTH_TAPS along the depth that a block takes (the grid's second axis
// divides KD), ROWS of the ring, REGISTERS of a computing thread (0: those that the compiler gives).
#include "bands.h"

constexpr int COMPUTE = WARPS * 32, MEETING = COMPUTE + 32;
constexpr int THREADS = COMPUTE + (REGISTERS ? 128 : 32);
constexpr int SUMS = CHANNELS * DEPTH_TAPS * PLANE_TAPS;  // of a chunk and group of depth taps

DEVICE u32 low_halves(u32 a, u32 b) { return __byte_perm(a, b, 0x5410); }
DEVICE u32 high_halves(u32 a, u32 b) { return __byte_perm(a, b, 0x7632); }

// Four channels of four strips at one column.
struct Strips { uint2 at[4]; };

DEVICE Strips read_strips(const u32 (&place)[4], u32 offset, u32 flip) {
  Strips s;
#pragma unroll
  for (int i = 0; i < 4; i++) s.at[i] = read_pair((place[i] ^ flip) + offset);
  return s;
}
// Channel `c` of two strips, 2 i and the next.
DEVICE u32 word(const Strips& s, int c, int i) {
  const u32 a = c >> 1 ? s.at[2 * i].y : s.at[2 * i].x, b = c >> 1 ? s.at[2 * i + 1].y : s.at[2 * i + 1].x;
  return c & 1 ? high_halves(a, b) : low_halves(a, b);
}

// The gradient of one tap from x and g in memory.
DEVICE float exact(const Plan& p, const u16* x, const u16* g, int channel, int tap) {
  const int kd = tap / PLANE_TAPS - p.low_planes, kh = tap / KW % KH - p.low_rows, kw = tap % KW - p.low_columns;
  const int planes = p.units / (p.plane_runs * p.segments * p.runs);  // volumes
  float sum = 0.f;
  for (int n = 0; n < planes; n++)
    for (int d = max(0, -kd); d < min(p.out_planes, p.in_planes - kd); d++)
      for (int h = max(0, -kh); h < min(p.out_rows, p.in_rows - kh); h++) {
        const long long to = ((long long)n * p.out_planes + d) * p.out_rows + h;
        const long long from = ((long long)n * p.in_planes + d + kd) * p.in_rows + h + kh;
        for (int w = max(0, -kw); w < min(p.out_columns, p.in_columns - kw); w++)
          sum += widen(x[(from * p.in_columns + w + kw) * p.channels + channel]) *
                 widen(g[(to * p.out_columns + w) * p.channels + channel]);
      }
  return sum;
}

KERNEL(THREADS, 1)
correlate(CONSTANT TensorMap x_map, CONSTANT TensorMap g_map, const u16* __restrict__ x,
          const u16* __restrict__ g, float* __restrict__ shares, float* __restrict__ out,
          int* __restrict__ finished, CONSTANT Plan p) {
  const int x_plane = (p.blocks + 1) * BLOCK + p.stagger, g_plane = p.blocks * BLOCK + p.stagger;
  const int x_bytes = (p.streams + DEPTH_TAPS - 1) * x_plane, g_bytes = p.streams * g_plane;
  const u32 ring = shared_address(shared), barriers = ring + p.barriers;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int chunk = blockIdx.x % p.chunks, worker = blockIdx.x / p.chunks, first_tap = blockIdx.y * DEPTH_TAPS;
  // What no copy writes, behind the gradient's strips, is read as strips of zeros.
  for (int i = threadIdx.x * 16; i < p.barriers; i += THREADS * 16) *(uint4*)(shared + i) = make_uint4(0, 0, 0, 0);
  if (threadIdx.x == 0) {
    for (int i = 0; i < ROWS; i++) barrier_init(barriers + i * 8);
    publish_barriers();
  }
  publish_to_copies();
  __syncthreads();
  // Step s of a unit brings row s of its gradient, and the input row that this row's first tap reads.
  auto last = [&](const Unit& unit) {  // one more than the last step that brings anything
    const int rows = min(p.run, p.out_rows - unit.row);
    return max(1, min(rows + KH - 1, p.in_rows + p.low_rows - unit.row));
  };
  auto has_x = [&](const Unit& unit, int step) {
    const int row = unit.row - p.low_rows + step;
    return row >= 0 && row < p.in_rows;
  };
  auto has_g = [&](const Unit& unit, int step) { return step < p.run && unit.row + step < p.out_rows; };
  if (warp >= WARPS) {
    if constexpr (REGISTERS > 0) fewer_registers<40>();
    if (warp == WARPS) {
      int next = worker, step = 0;
      Unit unit = unit_of(p, next, p.streams);
      auto issue = [&](int slot) {
        if (next >= p.units) return;
        const bool with_x = has_x(unit, step), with_g = has_g(unit, step);
        const u32 barrier = barriers + slot * 8, at = ring + slot * p.slot;
        barrier_expect(barrier, (with_x ? x_bytes : 0) + (with_g ? g_bytes : 0));
        if (with_x)
          load_box(at, &x_map, barrier, chunk * CHANNELS, unit.column - p.low_columns, unit.row - p.low_rows + step,
                   unit.plane - p.low_planes + first_tap, unit.volume);
        if (with_g)
          load_box(at + x_bytes, &g_map, barrier, chunk * CHANNELS, unit.column, unit.row + step, unit.plane,
                   unit.volume);
        if (++step == last(unit)) {
          step = 0, next += p.parts;
          if (next < p.units) unit = unit_of(p, next, p.streams);
        }
      };
      if (lane == 0)
        for (int i = 0; i < ROWS; i++) issue(i);
      __syncwarp();
      int slot = 0;
      for (int u = worker; u < p.units; u += p.parts) {
        const int end = last(unit_of(p, u, p.streams));
        for (int at = 0; at < end; at += 2) {
          meet<1, MEETING>();
#pragma unroll
          for (int r = 0; r < 2; r++)
            if (at + r < end) {
              if (lane == 0) issue(slot);
              if (++slot == ROWS) slot = 0;
            }
          __syncwarp();
        }
      }
    }
  } else {
    if constexpr (REGISTERS > 0) more_registers<REGISTERS>();
    const int column = lane >> 2;
    u32 x_at[4], g_at[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {  // strips, the plane fastest
      const int strips = p.streams * p.blocks, strip = (lane & 3) + 4 * i, own = strip < strips ? strip : 0;
      const int spare = p.streams * g_plane + (strip - strips) * BLOCK;
      const int g_strip = own % p.streams * g_plane + own / p.streams * BLOCK;
      x_at[i] = swizzled(ring + own % p.streams * x_plane + own / p.streams * BLOCK + column * 2 * CHANNELS, warp);
      g_at[i] = swizzled(ring + x_bytes + (strip < strips ? g_strip : spare) + column * 2 * CHANNELS, warp);
      keep(x_at[i]), keep(g_at[i]);
    }
    float sums[DEPTH_TAPS][KH][4][4];
    u32 g_rows[KH][4][2];
#pragma unroll
    for (int kd = 0; kd < DEPTH_TAPS; kd++)
#pragma unroll
      for (int k = 0; k < KH; k++)
#pragma unroll
        for (int c = 0; c < 4; c++)
#pragma unroll
          for (int i = 0; i < 4; i++) sums[kd][k][c][i] = 0.f;
    auto forget = [&](int place) {
#pragma unroll
      for (int c = 0; c < 4; c++) g_rows[place][c][0] = g_rows[place][c][1] = 0;
    };
    int slot = 0, parity = 0;
#pragma unroll 1
    for (int u = worker; u < p.units; u += p.parts) {
      const Unit unit = unit_of(p, u, p.streams);
      const int end = last(unit);
      int at = 0;
#pragma unroll
      for (int place = 0; place < KH; place++) forget(place);
#pragma unroll 1
      while (at < end) {
#pragma unroll
        for (int turn = 0; turn < KH; turn++) {  // places are compile-time constants
          if (at >= end) break;
          u32 from[2];
#pragma unroll
          for (int r = 0; r < 2; r++) {
            from[r] = slot * p.slot;
            if (at + r < end) {
              barrier_wait(barriers + slot * 8, parity);
              if (++slot == ROWS) slot = 0, parity ^= 1;
            }
          }
#pragma unroll
          for (int r = 0; r < 2; r++) {
            const int place = (2 * turn + r) % KH;
            if (at + r >= end) continue;
            if (has_g(unit, at + r)) {
              const Strips row = read_strips(g_at, from[r], 0);
#pragma unroll
              for (int c = 0; c < 4; c++) g_rows[place][c][0] = word(row, c, 0), g_rows[place][c][1] = word(row, c, 1);
            } else {
              forget(place);
            }
            if (!has_x(unit, at + r)) continue;
#pragma unroll
            for (int kd = 0; kd < DEPTH_TAPS; kd++) {
              // The stagger of an odd plane turns the swizzle.
              const u32 flip = kd & 1 ? 32u : 0u, plane = from[r] + kd * x_plane;
              const Strips near = read_strips(x_at, plane, flip), far = read_strips(x_at, plane + BLOCK, flip);
#pragma unroll
              for (int c = 0; c < 4; c++) {
                const u32 a[4] = {word(near, c, 0), word(far, c, 0), word(near, c, 1), word(far, c, 1)};
#pragma unroll
                for (int k = 0; k < KH; k++) multiply_add(sums[kd][k][c], a, g_rows[(place - k + KH) % KH][c]);
              }
            }
          }
          meet<1, MEETING>();
          at += 2;
        }
      }
    }
    meet<2, COMPUTE>();
    // Add up diagonals: each warp through its own part of shared memory.
    constexpr int PITCH = 132;
    float* const dump = (float*)shared + warp * KH * PITCH;
    float* const own = shares + (((long long)blockIdx.y * p.parts + worker) * p.chunks + chunk) * SUMS;
#pragma unroll
    for (int kd = 0; kd < DEPTH_TAPS; kd++)
#pragma unroll
      for (int c = 0; c < 4; c++) {
#pragma unroll
        for (int k = 0; k < KH; k++) {
          float* const to = dump + k * PITCH + (lane >> 2) * 8 + 2 * (lane & 3);
          *(float2*)to = make_float2(sums[kd][k][c][0], sums[kd][k][c][1]);
          *(float2*)(to + 64) = make_float2(sums[kd][k][c][2], sums[kd][k][c][3]);
        }
        __syncwarp();
        for (int i = lane; i < PLANE_TAPS; i += 32) {
          const float* from = dump + i / KW * PITCH + i % KW * 8;
          float sum = 0.f;
#pragma unroll
          for (int n = 0; n < 8; n++) sum += from[n * 9];
          own[((warp * 4 + c) * DEPTH_TAPS + kd) * PLANE_TAPS + i] = sum;
        }
        __syncwarp();
      }
    int* const is_last = (int*)(shared + p.barriers + ROWS * 8);
    __threadfence();
    meet<2, COMPUTE>();
    if (threadIdx.x == 0) {
      int* const count = finished + blockIdx.y * p.chunks + chunk;
      *is_last = atomicAdd(count, 1) == p.parts - 1;
      if (*is_last) *count = 0;
    }
    meet<2, COMPUTE>();
    if (*is_last) {
      __threadfence();
      const float4* from = (const float4*)(shares + ((long long)blockIdx.y * p.parts * p.chunks + chunk) * SUMS);
      const long long next = (long long)p.chunks * SUMS / 4;
      for (int i = threadIdx.x; i < SUMS / 4; i += COMPUTE) {
        float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll 11
        for (int part = 0; part < p.parts; part++) {
          const float4 share = __ldcg(from + part * next + i);
          sum.x += share.x, sum.y += share.y, sum.z += share.z, sum.w += share.w;
        }
        const float four[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const int e = i * 4 + j, channel = chunk * CHANNELS + e / (DEPTH_TAPS * PLANE_TAPS);
          const int tap = first_tap * PLANE_TAPS + e % (DEPTH_TAPS * PLANE_TAPS);
          if (channel < p.channels && tap < TAPS)
            out[(long long)channel * TAPS + tap] = four[j] * 0.f == 0.f ? four[j] : exact(p, x, g, channel, tap);
        }
      }
    }
  }
}
