// Command bench measures what the project claims, beside what it could cost at
// the least (its floor) or beside the alternatives that were not taken. Each
// file is one benchmark; README.md says what each shows, RESULTS.md keeps what
// they printed, on which machine and at which commit.
//
// The rules, so that figures can be compared:
//
//   - ours and the floor run in one process, on the same stores, in rounds: each
//     round runs every contestant once, in random order, so that whatever else
//     the machine does falls on all of them alike;
//   - the first round warms up and is not counted;
//   - a figure is the median, with the quartiles beside it; ratios are of medians;
//   - bodies, keys and rows are made before the clock starts.
package main
