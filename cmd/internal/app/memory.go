package app

import (
	"math"
	"runtime/debug"

	"leadevents/configs"
)

// What the server may hold beside bodies.
const (
	memoryBase = 96 << 20 // buffers of connections, caches, small calls
	memoryLane = 48 << 20 // one call of 10 MB on its way: rows, columns, the encoded block
)

// LimitMemory tells the garbage collector what the settings may need at most, so
// that it lets garbage grow to as much as is live only below that: with the
// defaults 320 MiB, which keeps the process under 400 with eight bodies of 10 MB
// at once, where it was 421 to 459. It is a soft limit: beyond it the collector
// works harder, and nothing fails. GOMEMLIMIT in the environment has precedence.
//
// It is for commands, not for [Serve]: the limit is the process'.
func LimitMemory(s configs.Settings) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // nobody has set one
		debug.SetMemoryLimit(memoryBase + int64(s.HTTP.MaxBodyMemory) + int64(s.Ingest.BulkLanes)*memoryLane)
	}
}
