// Package storetest gives integration tests a real ClickHouse and a real Redis.
//
// A package's TestMain is one line:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
//
// Then [ClickHouse] hands a test an empty database of its own and [Redis] a key
// prefix of its own, on one engine and one redis-server a test process, which
// start at the first call and stop at the end. [OwnClickHouse] and [OwnRedis]
// are servers for one test alone, to be killed, paused, emptied and replaced.
//
// A store that cannot start fails the test with what to install; nothing is
// ever skipped. What a failed test has stored is kept, and its place logged.
package storetest
