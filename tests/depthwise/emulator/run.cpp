// A kernel of striate/kernels/cuda as a function of a shared library: KERNEL_FILE and NAME_IS_... tell which.
#include KERNEL_FILE

extern "C" void run(const TensorMap* maps, void** p, const Plan* plan, int grid_x, int grid_y, int bytes, int seed) {
  emulator::run_grid(grid_x, grid_y, KERNEL_THREADS, bytes, seed, [&] {
#if defined(IS_SWEEP)
    sweep(maps[0], maps[1], (u16*)p[0], (u16*)p[1], (u16*)p[2], (u16*)p[3], *plan);
#elif defined(IS_TILE)
    tile(maps[0], maps[1], (u16*)p[0], (u16*)p[1], (u16*)p[2], (u16*)p[3], *plan);
#else
    correlate(maps[0], maps[1], (u16*)p[0], (u16*)p[1], (float*)p[2], (float*)p[3], (int*)p[4], *plan);
#endif
  });
}
