// The functions of striate/kernels/cuda/device.h on a processor, to test what is built on them.
//
// Every thread of a block is a fiber. Whoever waits names its condition; a scheduler runs the fibers that
// can go on in a random order, and carries out copies of the copy engine at random later moments, so that
// a barrier that is missing shows. Shared memory starts as NaN, and every access is checked for bounds.
// What this cannot show: the order of memory between proxies, and the time that anything takes.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

#define DEVICE inline
#define KERNEL(threads, blocks) constexpr int KERNEL_THREADS = threads; static void
#define CONSTANT const

struct Index { int x = 0, y = 0, z = 0; };
struct uint2 { u32 x, y; };
struct uint4 { u32 x, y, z, w; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }

struct alignas(64) TensorMap {  // sizes of {channel, column, row, plane, volume}; bytes between columns, ...
  u8* base;
  int size[5], box[5];
  u64 pad[10];
};
static_assert(sizeof(TensorMap) == 128);

inline Index threadIdx, blockIdx, blockDim, gridDim;
alignas(1024) inline u8 shared[232 * 1024];

namespace emulator {

struct Rendezvous { int arrived = 0, generation = 0; };
struct Barrier { int pending = 1, phase = 0; long long bytes = 0; };
struct Warp {
  Rendezvous meeting;
  int products = 0, deposited = 0;
  int sleep = 0;  // passes of the scheduler that it sits out
  u32 a[2][32][4], b[2][32][2];
};
struct Fiber {
  ucontext_t context;
  std::unique_ptr<u8[]> stack;
  std::function<bool()> can_go_on;
  bool done = false;
  int products = 0, copies = 0;
};
struct Copy { std::function<void()> run; int passes; };  // of the scheduler, before it is carried out

inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline std::vector<Copy> copies;
inline Rendezvous named[16];
inline std::vector<Barrier> barriers;
inline ucontext_t scheduler;
inline int current, shared_bytes, any;
inline std::mt19937 random;
inline std::function<void()> body;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s: block %d,%d thread %d\n", what, blockIdx.x, blockIdx.y, current);
  std::abort();
}
inline void wait(std::function<bool()> condition) {
  if (condition()) return;
  fibers[current].can_go_on = std::move(condition);
  swapcontext(&fibers[current].context, &scheduler);
}
inline void meet(Rendezvous& r, int threads) {
  const int generation = r.generation;
  if (++r.arrived == threads) r.arrived = 0, r.generation++;
  wait([&r, generation] { return r.generation != generation; });
}
inline Warp& warp() { return warps[current / 32]; }
inline u8* at(u32 address, int bytes) {
  if (address + bytes > (u32)shared_bytes || address % (bytes < 16 ? bytes : 16)) fail("shared memory out of bounds");
  return shared + address;
}
inline Barrier& barrier(u32 address) {
  at(address, 8);
  return barriers[address / 8];
}
inline void settle(Barrier& b) {
  if (b.pending == 0 && b.bytes == 0) b.pending = 1, b.phase ^= 1;
}
inline void copy_later(std::function<void()> run) {
  const int owner = current;
  fibers[owner].copies++;
  const int passes = random() % 4 ? random() % 4 : random() % 1000;  // most are quick
  copies.push_back({[run, owner] { run(), fibers[owner].copies--; }, passes});
}
inline void start() {
  body();
  fibers[current].done = true;
  swapcontext(&fibers[current].context, &scheduler);
}

// Run one block to its end.
inline void run_block(int threads) {
  std::memset(shared, 0xff, sizeof shared);
  fibers = std::vector<Fiber>(threads), warps = std::vector<Warp>((threads + 31) / 32);
  barriers = std::vector<Barrier>(sizeof shared / 8);
  for (Rendezvous& r : named) r = {};
  copies.clear();
  constexpr int STACK = 128 * 1024;
  for (Fiber& fiber : fibers) {
    fiber.stack.reset(new u8[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get(), fiber.context.uc_stack.ss_size = STACK;
    makecontext(&fiber.context, start, 0);
  }
  for (int left = threads; left;) {
    bool moved = false;
    for (Warp& w : warps) {
      if (w.sleep) w.sleep--, moved = true;
      else if (random() % 128 == 0) w.sleep = random() % 300, moved = true;
    }
    const int first = random() % threads;
    for (int i = 0; i < threads; i++) {
      current = (first + i) % threads;
      Fiber& fiber = fibers[current];
      if (fiber.done || warps[current / 32].sleep || (fiber.can_go_on && !fiber.can_go_on())) continue;
      fiber.can_go_on = nullptr;
      threadIdx.x = current;
      swapcontext(&scheduler, &fiber.context);
      moved = true, left -= fiber.done;
    }
    int pass = 1;
    if (!moved && !copies.empty()) {  // nobody sees time go by
      pass = copies[0].passes;
      for (const Copy& copy : copies) pass = min(pass, copy.passes);
    }
    for (size_t i = 0; i < copies.size();) {
      copies[i].passes -= pass;
      if (copies[i].passes > 0) { i++; continue; }
      auto run = copies[i].run;
      copies.erase(copies.begin() + i);
      run();
      moved = true;
    }
    if (!moved && copies.empty()) fail("deadlock");
  }
  if (!copies.empty()) fail("the block ended before its copies");
}

// Every block of a grid, one after the other.
inline void run_grid(int grid_x, int grid_y, int threads, int bytes, int seed, std::function<void()> kernel) {
  random.seed(seed), body = std::move(kernel);
  shared_bytes = bytes, blockDim.x = threads, gridDim.x = grid_x, gridDim.y = grid_y;
  for (blockIdx.y = 0; blockIdx.y < grid_y; blockIdx.y++)
    for (blockIdx.x = 0; blockIdx.x < grid_x; blockIdx.x++) run_block(threads);
}

// Elements of a box that lie in the tensor: `visit(address in the box, element of the tensor or null)`.
template <class Visit> void each_piece(const TensorMap& map, u32 box_at, const int (&corner)[5], Visit visit) {
  const int column = 2 * map.box[0];  // bytes; also the span of the swizzle
  u32 where = box_at;
  if (box_at % 128) fail("a box is not aligned");
  for (int d = 0; d < map.box[3]; d++)
    for (int h = 0; h < map.box[2]; h++)
      for (int w = 0; w < map.box[1]; w++)
        for (int piece = 0; piece < column / 16; piece++, where += 16) {
          const u32 spread = (where >> 7 & (column / 16 - 1)) << 4;
          const int i[5] = {corner[0] + piece * 8, corner[1] + w, corner[2] + h, corner[3] + d, corner[4]};
          bool inside = true;
          long long element = 0;
          for (int axis = 4; axis >= 0; axis--) {
            inside = inside && i[axis] >= 0 && i[axis] < map.size[axis];
            element = element * map.size[axis] + i[axis];
          }
          visit(at(where ^ spread, 16), inside ? map.base + 2 * element : nullptr);
        }
}

}  // namespace emulator

// ---- the functions of the device

DEVICE u32 shared_address(const void* p) { return (u32)((const u8*)p - shared); }

DEVICE float bits_to_float(u32 bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
DEVICE float widen(u16 v) {
#ifdef FLOAT16
  _Float16 f;
  std::memcpy(&f, &v, 2);
  return (float)f;
#else
  return bits_to_float((u32)v << 16);
#endif
}
DEVICE u16 round_one(float f) {
#ifdef FLOAT16
  const _Float16 half = (_Float16)f;
  u16 v;
  std::memcpy(&v, &half, 2);
  return v;
#else
  u32 bits;
  std::memcpy(&bits, &f, 4);
  if (f != f) return 0x7fff;
  return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
}
DEVICE u32 narrow(float low, float high) { return round_one(low) | (u32)round_one(high) << 16; }

// Each lane lays down its fragments, and when all have, takes the rows and columns that it needs.
DEVICE void product(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], bool add) {
  using namespace emulator;
  const int lane = current % 32, turn = fibers[current].products++, side = turn & 1;
  Warp& w = warp();
  std::memcpy(w.a[side][lane], a, sizeof a), std::memcpy(w.b[side][lane], b, sizeof b);
  if (++w.deposited == 32) w.deposited = 0, w.products++;
  emulator::wait([&w, turn] { return w.products > turn; });
  auto half = [](u32 word, int i) { return widen((u16)(i ? word >> 16 : word)); };
  for (int i = 0; i < 4; i++) {
    const int m = lane / 4 + (i >= 2 ? 8 : 0), n = 2 * (lane % 4) + i % 2;
    float sum = add ? d[i] : 0.f;
    for (int k = 0; k < 16; k++) {
      const int quad = k % 8 / 2;
      const u32 from_a = w.a[side][m % 8 * 4 + quad][(m >= 8) + 2 * (k >= 8)];
      sum += half(from_a, k % 2) * half(w.b[side][n * 4 + quad][k >= 8], k % 2);
    }
    d[i] = sum;
  }
}
DEVICE void multiply_add(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { product(d, a, b, true); }
DEVICE void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { product(d, a, b, false); }

DEVICE uint2 read_pair(u32 at) {
  uint2 v;
  std::memcpy(&v, emulator::at(at, 8), 8);
  return v;
}
DEVICE void write_pair(u32 at, u32 x, u32 y) {
  const uint2 v{x, y};
  std::memcpy(emulator::at(at, 8), &v, 8);
}
DEVICE void keep(u32&) {}

DEVICE void barrier_init(u32 at) { emulator::barrier(at) = {}; }
DEVICE void barrier_expect(u32 at, u32 bytes) {
  emulator::Barrier& b = emulator::barrier(at);
  b.pending--, b.bytes += bytes;
  emulator::settle(b);
}
DEVICE void barrier_wait(u32 at, u32 parity) {
  emulator::Barrier& b = emulator::barrier(at);
  emulator::wait([&b, parity] { return (u32)b.phase != parity; });
}
DEVICE void publish_barriers() {}

DEVICE void complete(u32 barrier, long long bytes) {
  emulator::Barrier& b = emulator::barrier(barrier);
  b.bytes -= bytes;
  emulator::settle(b);
}
DEVICE void copy_in(u32 to, const void* from, u32 bytes, u32 barrier) {
  if (bytes % 16 || to % 16 || (uintptr_t)from % 16) emulator::fail("a copy is not of 16-byte pieces");
  emulator::copy_later([=] {
    for (u32 i = 0; i < bytes; i += 16) std::memcpy(emulator::at(to + i, 16), (const u8*)from + i, 16);
    complete(barrier, bytes);
  });
}
DEVICE void load_box(u32 to, const TensorMap* map, u32 barrier, int c, int w, int h, int d, int n) {
  emulator::copy_later([=] {
    long long bytes = 0;
    emulator::each_piece(*map, to, {c, w, h, d, n}, [&](u8* piece, const u8* from) {
      if (from) std::memcpy(piece, from, 16);
      else std::memset(piece, 0, 16);
      bytes += 16;
    });
    complete(barrier, bytes);
  });
}
DEVICE void store_box(const TensorMap* map, u32 from, int c, int w, int h, int d, int n) {
  emulator::copy_later([=] {
    emulator::each_piece(*map, from, {c, w, h, d, n}, [&](const u8* piece, u8* to) {
      if (to) std::memcpy(to, piece, 16);
    });
  });
}
DEVICE void commit_stores() {}
DEVICE void wait_stores_read() {
  emulator::Fiber& fiber = emulator::fibers[emulator::current];
  emulator::wait([&fiber] { return fiber.copies == 0; });
}
DEVICE void wait_stores_done() { wait_stores_read(); }
DEVICE void publish_to_copies() {}

template <int Id, int Threads> void meet() { emulator::meet(emulator::named[Id], Threads); }
template <int N> void more_registers() {}
template <int N> void fewer_registers() {}

// ---- CUDA's own

DEVICE u32 __byte_perm(u32 x, u32 y, u32 selector) {
  const u64 bytes = x | (u64)y << 32;
  u32 v = 0;
  for (int i = 0; i < 4; i++) v |= (u32)(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  return v;
}
DEVICE void __syncthreads() { emulator::meet(emulator::named[0], blockDim.x); }
DEVICE int __syncthreads_or(int value) {
  if (value) emulator::any = 1;
  __syncthreads();
  const int result = emulator::any;
  __syncthreads();
  if (emulator::current == 0) emulator::any = 0;
  __syncthreads();
  return result;
}
DEVICE void __syncwarp() { emulator::meet(emulator::warp().meeting, 32); }
DEVICE void __threadfence() {}
template <class T> T __ldcg(const T* p) { return *p; }
DEVICE int atomicAdd(int* p, int value) { return (*p += value) - value; }
