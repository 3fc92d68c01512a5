// Package embedded runs a real ClickHouse without installing one: the engine
// library of the chdb project, loaded by our own binary as a child process.
//
// The child is this executable again under the name "leadevents-engine"
// ([Main] notices, before anything else in main). It loads libchdb.so without
// cgo and hands it the arguments of clickhouse-local, which open a native and
// an HTTP port on 127.0.0.1 and then read stdin. Before the native port stands a
// relay in the same process (see relay), so that clients may be killed. Stdin is a pipe that only our
// process holds: when we close it, or die in any way, the engine stops in
// order. [Start] writes the configuration, chooses the ports, waits for the
// first answer and keeps the engine running (package internal/child).
//
// What is in a data folder, all of it for its owner only:
//
//	lock         held by the living process that runs the engine
//	password     of the user "leadevents", who may do everything; made at the first start
//	ports.json   native and HTTP port and the one behind the relay, the same again at the next start if free
//	config.xml   written anew at every start, as is users.xml
//	engine.log   and .1, .2: bounded
//	data/        the databases
//
// Limits of this engine, beside those of one machine: users come from Config
// only (no CREATE USER), no Replicated tables, no Keeper, external sorts use
// 1 GiB of disk at most. A client that speaks neither protocol properly (half
// an HTTP header, garbage as native hello) aborts the process; it is started
// again within a second, and nothing acknowledged is lost.
package embedded
