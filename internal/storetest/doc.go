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
// Whatever servers and commands write is copied to an [Output], and at the end of a
// test process every [Secret] that it has made is looked for there, the stores'
// passwords among them: a log that tells one fails the package.
//
// A store that cannot start fails the test with what to install; nothing is
// ever skipped. What a failed test has stored is kept, and its place logged.
package storetest
