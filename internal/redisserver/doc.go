// Package redisserver runs a real redis-server as a child process, set up as
// the ledger needs it.
//
// It appends to a file once a second (appendonly, everysec), never evicts
// (noeviction), listens on 127.0.0.1 only and asks for a password made at the
// first start, which stands in a file of mode 0600 and on no command line. It
// is started again when it dies (package internal/child), with SIGTERM it
// writes its file out and goes.
//
// What is in a data folder, all of it for its owner only:
//
//	lock         held by the living process that runs the server
//	password     made at the first start
//	port.json    the port, the same again at the next start if free
//	redis.conf   written anew at every start
//	redis.log    and .1, .2: bounded
//	data/        the append-only file and its parts
//
// A tail that a crash or a power cut left half written is cut off at the next
// start, with a warning in redis.log: that is at most the last second, which
// the ledger finds out by its heartbeats.
package redisserver
