// Command check is the regression guard of the hot paths: it runs their benchmarks and
// holds allocations and executed instructions a run to what record.json says. Times
// are not looked at, since they say as much of the machine as of the code: on a busy
// one they double, and what is counted here stays.
//
//   - Allocations are the benchmark's own (-benchmem).
//   - Instructions are counted by valgrind's cachegrind, which runs the program on a
//     processor of its own: in two processes that differ by some runs of the path, so
//     that the difference is these runs and nothing of the start. One processor and no
//     garbage collector, so that the same runs are the same instructions.
//
// What is better than recorded by more than the tolerance is told too, and is no
// error: recorded anew, it cannot be lost again.
package main
