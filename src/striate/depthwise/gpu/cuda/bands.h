// A depthwise convolution along the last axis is a product with a banded matrix:
//   D[m][n] = sum over k of A[m][k] B[k][n],  A[m][k] = x[strip m][k],  B[k][n] = w[k - n],
// 16 strips of 16 input columns against 8 output columns, one product a channel and row of taps.
//
// Tiles lie in shared memory as [row][block of 8 columns][column][channel], 16-byte pieces swizzled
// by the copy engine; borders are its zeros. A warp computes four channels, which are 8 bytes.
//
// Given at compile time: KD, KH, KW taps; WARPS that compute; and for each kernel what it says.
#pragma once
#include "device.h"

constexpr int CHANNELS = 4 * WARPS;   // of a chunk
constexpr int BLOCK = 16 * CHANNELS;  // bytes of 8 columns
constexpr int PLANE_TAPS = KH * KW, TAPS = KD * PLANE_TAPS;
static_assert(KW <= 7, "a band's two words must not overlap");
static_assert(WARPS == 4 || WARPS == 8, "32 or 64 bytes a column");

// One call. Sizes are of the tensors as the kernel reads and writes them; in the gradient of the
// input, `in_` is the gradient of the output. In 2-D the images are the planes of one volume.
struct Plan {
  int channels, in_planes, in_rows, in_columns, out_planes, out_rows, out_columns;
  int low_planes, low_rows, low_columns;  // padding before each axis
  int flip;                               // taps in reverse order
  int blocks, streams;                    // of 8 columns in a strip row; planes that share a product
  int segment, segments;                  // columns of a work unit, and units along the columns
  int run, runs;                          // output rows of a work unit, and units along the rows
  int plane_runs, units, parts, chunks;   // along the planes; all; workers of a chunk; chunks
  int stagger, slot, barriers;            // bytes: between streams, of a ring's slot, before barriers
};

struct Unit { int row, volume, plane, column; };  // of the first output

DEVICE Unit unit_of(const Plan& p, int u, int planes) {
  Unit unit;
  unit.row = u % p.runs * p.run, u /= p.runs;
  unit.column = u % p.segments * p.segment, u /= p.segments;
  unit.plane = u % p.plane_runs * planes;
  unit.volume = u / p.plane_runs;
  return unit;
}

// Address of a quad of channels in a column; the swizzle is a property of the address.
DEVICE u32 swizzled(u32 column, int quad) {
  return column + ((((column >> 7) & (CHANNELS / 8 - 1)) ^ (quad >> 1)) << 4) + (quad & 1) * 8;
}

// A lane's place in the products: strips `lane / 4` and 8 more, columns `2 (lane % 4)` and the next.
// Odd strips read the second column first, which spreads the reads over the banks.
struct Lane {
  int group, odd;
  bool has[2];           // whether the two strips exist
  int stream[2], block[2];
  u32 first, step;       // offset of the column read first, and from there to the other
  u32 even_half, odd_half;  // selectors of __byte_perm: even and odd channels of two words

  DEVICE Lane(const Plan& p, int lane, int quad) {
    group = lane >> 2, odd = group & 1;
    const int pair = lane & 3, strips = p.streams * p.blocks;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int strip = group + 8 * i;
      has[i] = strip < strips;
      stream[i] = has[i] ? strip / p.blocks : 0, block[i] = has[i] ? strip % p.blocks : 0;
    }
    first = swizzled((2 * pair + odd) * 2 * CHANNELS, quad);
    step = swizzled((2 * pair + 1 - odd) * 2 * CHANNELS, quad) - first;
    even_half = odd ? 0x1054 : 0x5410, odd_half = odd ? 0x3276 : 0x7632;
    keep(first), keep(step), keep(even_half), keep(odd_half);
  }
};

// What a lane reads of one row: four channels of both its columns, of both strips, in both blocks.
struct Reads { uint2 near[2][2], far[2][2]; };  // [strip][column]

DEVICE Reads read_row(u32 strip0, u32 strip1, u32 step) {
  Reads r;
  r.near[0][0] = read_pair(strip0), r.near[0][1] = read_pair(strip0 + step);
  r.near[1][0] = read_pair(strip1), r.near[1][1] = read_pair(strip1 + step);
  r.far[0][0] = read_pair(strip0 + BLOCK), r.far[0][1] = read_pair(strip0 + BLOCK + step);
  r.far[1][0] = read_pair(strip1 + BLOCK), r.far[1][1] = read_pair(strip1 + BLOCK + step);
  return r;
}

// The fragment A of channel `c` of the four.
DEVICE void fragment(u32 (&a)[4], const Reads& r, int c, const Lane& lane) {
  const u32 half = c & 1 ? lane.odd_half : lane.even_half;
  auto word = [&](const uint2 (&v)[2]) {
    return __byte_perm(c >> 1 ? v[0].y : v[0].x, c >> 1 ? v[1].y : v[1].x, half);
  };
  a[0] = word(r.near[0]), a[1] = word(r.near[1]), a[2] = word(r.far[0]), a[3] = word(r.far[1]);
}

// The fragments B of a chunk's taps. A lane holds column n = lane / 4 of the band at rows k = 2 (lane
// % 4) + {0, 1, 8, 9}. A tap k - n of the rows from 8 on is one of those below plus 8: with at most
// seven taps one of the two words is zero, and they are one word behind two masks.
struct Band {
  const u16 *tap0, *tap1;  // those of the word, of the first channel's first row of taps
  int step;                // to the next row of taps
  u32 low, high;           // masks

  DEVICE Band(const u16* taps, int flip, int lane) {
    const int n = lane >> 2, k = 2 * (lane & 3), i0 = (k - n) & 7, i1 = (k + 1 - n) & 7;
    const u32 valid = (i0 < KW ? 0xffffu : 0u) | (i1 < KW ? 0xffff0000u : 0u);
    tap0 = taps + (flip ? TAPS - 1 - i0 : i0), tap1 = taps + (flip ? TAPS - 1 - i1 : i1);
    step = flip ? -KW : KW;
    low = n <= k + 1 ? valid : 0u, high = valid ^ low;
  }
  DEVICE void get(u32 (&b)[2], int channel, int row) const {
    const int at = channel * TAPS + row * step;
    const u32 word = (u32)tap0[at] | (u32)tap1[at] << 16;
    b[0] = word & low, b[1] = word & high;
  }
  DEVICE void skip(int rows) { tap0 += rows * step, tap1 += rows * step; }
};

// Ask for the taps of a chunk (16-byte multiples, for channels are a multiple of 8); those of channels
// that do not exist are zero.
DEVICE void load_taps(u32 to, u16* at, const u16* taps, int chunk, const Plan& p, u32 barrier) {
  const int count = min(CHANNELS, p.channels - chunk * CHANNELS) * TAPS;
  for (int i = count + threadIdx.x; i < CHANNELS * TAPS; i += blockDim.x) at[i] = 0;
  if (threadIdx.x == 0) {
    barrier_expect(barrier, count * 2);
    copy_in(to, taps + (long long)chunk * CHANNELS * TAPS, count * 2, barrier);
  }
}

// What a warp adds to its four channels, and whether it met an Inf or NaN.
struct Finish {
  float bias[4];
  float bad;  // NaN as soon as a value was not finite

  DEVICE Finish(const u16* all, int channel, const Plan& p) : bad(0.f) {
#pragma unroll
    for (int c = 0; c < 4; c++) bias[c] = all && channel + c < p.channels ? widen(all[channel + c]) : 0.f;
  }
  // One strip of outputs into shared memory: sums[channel][2 i, 2 i + 1] are its two columns.
  DEVICE void put(u32 at, const Lane& lane, const float (&sums)[4][4], int i) {
    float v[4][2];
#pragma unroll
    for (int c = 0; c < 4; c++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        v[c][j] = sums[c][2 * i + j] + bias[c];
        bad += v[c][j] * 0.f;
      }
    const u32 x0 = narrow(v[0][0], v[1][0]), y0 = narrow(v[2][0], v[3][0]);
    const u32 x1 = narrow(v[0][1], v[1][1]), y1 = narrow(v[2][1], v[3][1]);
    write_pair(at, lane.odd ? x1 : x0, lane.odd ? y1 : y0);
    write_pair(at + lane.step, lane.odd ? x0 : x1, lane.odd ? y0 : y1);
  }
};

DEVICE bool is_finite(u16 v) { return widen(v) * 0.f == 0.f; }

// The zeros of a band times an Inf or NaN spread it to outputs that do not read it. Where a block met
// one, its first WORKERS threads compute those of its outputs anew that are not finite.
template <int WORKERS>
DEVICE void repair(const Plan& p, Unit unit, int planes, int rows, int chunk, const u16* x, const u16* taps,
                   const u16* bias, u16* y) {
  const int first = chunk * CHANNELS, channels = min(CHANNELS, p.channels - first);
  const int columns = min(p.segment, p.out_columns - unit.column);
  rows = min(rows, p.out_rows - unit.row), planes = min(planes, p.out_planes - unit.plane);
  for (int i = threadIdx.x; i < planes * rows * columns * channels;
       i += WORKERS) {
    int j = i;
    const int c = first + j % channels;
    j /= channels;
    const int w = unit.column + j % columns, h = unit.row + j / columns % rows;
    const int d = unit.plane + j / columns / rows;
    const long long plane = (long long)unit.volume * p.out_planes + d;
    u16* to = y + ((plane * p.out_rows + h) * p.out_columns + w) * p.channels + c;
    if (is_finite(*to)) continue;
    float sum = bias ? widen(bias[c]) : 0.f;
    for (int t = 0; t < TAPS; t++) {
      const int kd = t / PLANE_TAPS, kh = t / KW % KH, kw = t % KW;
      const int z = d - p.low_planes + kd, r = h - p.low_rows + kh, s = w - p.low_columns + kw;
      if (z < 0 || z >= p.in_planes || r < 0 || r >= p.in_rows || s < 0 || s >= p.in_columns) continue;
      const long long from = ((long long)unit.volume * p.in_planes + z) * p.in_rows + r;
      const u16 tap = taps[(long long)c * TAPS + (p.flip ? TAPS - 1 - t : t)];
      sum += widen(x[(from * p.in_columns + s) * p.channels + c]) * widen(tap);
    }
    *to = (u16)narrow(sum, 0.f);
  }
}
