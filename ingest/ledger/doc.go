// Package ledger remembers in Redis which batch owns which key, and knows when
// Redis is not to be believed.
//
// # Seals
//
// A key (organization, event type, phone, millisecond) is sealed by the batch
// whose request was told that it inserted it. It is sealed after its row is in
// ClickHouse, never before: so a key that is present means "stored", whatever
// crashed meanwhile, and a key that is absent costs at most a look into
// ClickHouse. [Ledger.Peek] reads owners, [Ledger.Seal] makes a batch the owner of
// the keys that nobody sealed before it. Package ingest has the steps around them.
//
// Terms, as in the settings: T is the horizon (72 h), Tshort the short horizon
// (10 min), D the deadline from stamping a row to the end of its seal (30 s), the
// margin (5 s) is how far a clock may be off. "Now" is always Redis' TIME, read in
// the same call as the keys: rows are stamped (ingested_at) with it, keys expire by
// it, the clocks of the servers and of ClickHouse decide nothing.
//
// # States
//
//	                      every look (1 s) finds both stores as recorded
//	                                     ┌───────┐
//	first start, nothing stored      ┌───┴───────▼──┐
//	────────────────────────────────►│   trusted    │ absent within T: new
//	                                 └──────┬───────┘
//	      anything unequal: a new epoch;    │   ▲
//	      present keys are dropped too      │   │ every slice of the horizon
//	      (a new era) where they may lie    │   │ streamed: trusted since now
//	                                 ┌──────▼───────┐
//	       ┌────────────────────────►│   suspect    │ absent: ask ClickHouse
//	       │ anything unequal        └──────┬───────┘
//	       │                                │ one process takes the lease
//	       │                         ┌──────▼───────┐ absent: new where the keys are
//	       └─────────────────────────┤  rebuilding  │ set again, the latest events
//	                                 └──────────────┘ first; else ask ClickHouse
//
// What makes it trusted is the trust record ([Trust]), kept in both stores and
// written compare-and-set: the epoch, which Redis this is (run id, replication id,
// how many keys it had evicted), T and the layout of the keys, which table
// lead_events is. Heartbeats in both say how far each has come, and each process
// keeps its last answer in Redis ([Landed]). Whatever is unequal begins a new
// epoch, and a new epoch fails every seal of a request that peeked in the old
// one: 503, send it again.
//
// Every chunk of keys is read or sealed together with the epoch: a peek reads it
// last, on the same connection; a seal checks it in the same script that sets the
// keys. A Redis that was restarted, replaced or failed over is reached only over a
// new connection, and every new connection asks for the run id first. So no key is
// decided in a Redis that the trust record does not describe, however short ago it
// changed; the looks only find out why.
//
// # What an absent key proves
//
// A key stays until E = max(sealed + Tshort, occurredAt + T) or longer (buckets
// expire as one, with their last key). While trusted:
//
//  1. now < occurredAt + T − margin, and absent: it was never sealed. Had it been,
//     at any time, E ≥ occurredAt + T > now + margin, so it would be here; what
//     was sealed before trust began was set by the rebuild with the same rule.
//     [Ledger.Absent] is this line. It needs no bound on the future: a key of the
//     year 2099 stays until 2099, and a key that was sealed long before its event
//     occurred is still here when its event is a live one.
//  2. Otherwise it may have expired, and ClickHouse is asked. Its row is not there:
//     nobody stored it (rows are visible before a seal begins), so it is new.
//  3. The row is there and its stamp lies before now − Tshort + margin, or before
//     trust began: whoever stored it sealed it, or died (a seal ends within D of
//     the stamp, Tshort ≥ 10 D): duplicate.
//  4. The row is there and younger: were it sealed, at s ≥ stamp, then E ≥ s +
//     Tshort > now + margin, so the key would be here. It is not: stored, and not
//     sealed. Its request died, or is about to seal. We store ours as well and
//     seal: one of us gets the key.
//
// [Ledger.StoredMeansDuplicate] is lines 3 and 4. While suspect line 1 does not hold
// and every absent key is looked up; while rebuilding every one that occurred before
// what is set again: all that is asked of line 1 is that the keys of such a moment are
// there, and each process reads how far that is from Redis together with the record,
// so before it peeks. The rebuild goes from the latest events back, so live ones are
// looked up for a second or two. Found means duplicate,
// which may be wrong only for a row whose request was never answered: at most
// once still holds, and what was called a duplicate stays one (Orphans). Trust
// begins at the latest moment that any stamp or heartbeat carries, not at the
// present one: where the clock was ahead for a while, no row of that time counts
// as young later.
//
// # Orphans
//
// The rebuild reads every row that was there when it began, told by the latest stamp of
// all: what comes later is not read, or it would run after the load for ever. A row that is
// stored later, or behind the stream, has no key until its own request seals it, and that
// request may have died. Nobody was told inserted, so a later one may be, unless
// somebody was told duplicate meanwhile, on the ground of that row: then the next
// answer must be duplicate too, when what occurred then is set again and a key's
// absence is a proof. So whoever answers duplicate because of a row that the stream
// may have missed ([Ledger.Orphan]) first seals its key for the row's batch, as the
// rebuild would have. If that batch's request lives after all, it finds its own
// token: inserted.
//
// # Claims
//
// A request with an Idempotency-Key keeps its token over its retries, so a retry
// asks "is this key mine?" of a Redis that may have lost everything in between.
// ClickHouse alone cannot answer: merges keep either of two rows of a key. So such
// a request claims its absent keys when it peeks (a value of another length), and
// whoever seals over a claim writes the contest (winner, loser) to ClickHouse
// before it answers. The retry reads its contests: a key that it stored, and that
// nobody has won from it, is its own, unless another batch has a row of it, and a receipt
// without a contest lost to the retry's: that one took the key when Redis had lost the claim. Claims stay in the value before the owner's
// token: who overrode them may be a rebuild that found the row before its request
// sealed it, or a request that died before its contests were written. So whoever finds
// its own token, when it seals or peeks again, finds the claims as well.
//
// # Layout
//
// Keys lie in hashes ("buckets") by organization, event type, slot of time and a
// few bits of the phone: layout.go has the figures. A seal of 1,000 keys is one
// script call, atomic in itself; nothing needs to be atomic across calls, since a
// token finds its own seals again. In a cluster a bucket is one slot's, and each
// node needs its own epoch key: the protocol asks only that epoch and keys are on
// one node.
//
// # Failures
//
// The tests are in package ingest, where counts are.
//
//	what happens                         found by                         then                      test
//	FLUSHALL, at rest                    no trust record                  suspect, rebuild          TestFaultRedisIsFlushed
//	… between a peek and its seal        the epoch, in the seal           503; rows stay, told once TestFaultRedisIsFlushedBetweenAPeekAndItsSeal
//	… between two seals of one key       the epoch, in the second         503, then duplicate       TestFaultRedisIsFlushedBetweenTwoSeals
//	… under load                         the same                         counts stay exact         TestFaultRedisIsFlushedUnderLoad
//	Redis replaced by an empty one       new connection, no record        suspect, rebuild          TestFaultRedisIsReplacedByAnEmptyOne
//	Redis killed and back                run id                           suspect, rebuild          TestFaultRedisIsKilled
//	the tail of its log lost             run id                           suspect, rebuild          TestFaultTheTailOfRedisLogIsLost
//	failover to a lagging replica        run id, replication id           suspect, rebuild          TestFaultRedisFailsOver
//	restored from an old backup          number of the record, heartbeat  new era, rebuild          TestFaultRedisIsRestoredFromAnOldBackup
//	keys evicted                         the count, in every chunk        suspect, rebuild          TestFaultRedisEvictsKeys
//	its clock leaps, a process watching  monotonic clock of the process   suspect, rebuild          TestFaultRedisClockLeaps
//	its clock went back, nobody watching heartbeat ahead of it            suspect, rebuild          TestFaultRedisClockHasGoneBack
//	its clock goes back inside a request the seal's earliest time         503                       TestASealRefusesAClockBehindItsStamp
//	a request slower than D              the seal's latest time           503                       TestASealAfterTheDeadlineIsRefused
//	ClickHouse killed and back           nothing is lost                  503 meanwhile             TestFaultClickHouseIsKilled
//	… between rows and their states      the receipt that lacks           states are added first    TestFaultWhatIsAnsweredHasItsStates
//	… and nobody sends the rows again    its start, the heartbeat before  states are repaired       TestFaultClickHouseWasDownForLong
//	… twice within a second              its name, in its memory          states are repaired       TestFaultClickHouseIsKilledTwiceInASecond
//	… a server dies beside others          its name, with its last beat   states are repaired       TestFaultAServerDiesBesideOthers
//	… and Redis loses its name             the new epoch                    states are repaired       TestFaultAServerDiesUnnamed
//	an insert fails before its states    the insert's error               states are repaired       TestFaultAnInsertBreaksOffBeforeItsStates
//	… and arrives after they were          a second repair, later         states are repaired       TestFaultAnInsertArrivesBehindItsRepair
//	… or ends long after they were         its query, which has to end      states are repaired then  TestFaultAnInsertLingersBehindItsRepair
//	a rebuild seals over a claim         the claim, in the value          contest before the answer TestARebuildLeavesClaimsToWhomItSealsFor
//	ClickHouse from an old snapshot      heartbeat; the last answers      new era, rebuild          TestFaultClickHouseIsRestoredFromASnapshot
//	lead_events is another table         its UUID                         new era, rebuild          TestFaultTheTableIsAnother
//	the horizon was changed              the record                       new era, rebuild          TestFaultTheHorizonIsChanged
//	the layout was changed               the record                       new era, rebuild          TestFaultTheLayoutIsChanged
//	… its stamps stay, ahead of all      the latest stamp                 they are rebuilt too      TestFaultARebuildReadsStampsOfAClockThatWasAhead
//	much is stored while rebuilding      the latest stamp                 left to their requests    TestFaultARebuildDoesNotRunAfterWhatComesMeanwhile
//	the server dies while rebuilding     the moment noted in Redis        another goes on           TestFaultTheRebuilderDies
//	… between the two trust records      the numbers                      ClickHouse is told again  TestFaultATrustRecordIsMissingInClickHouse
//	much is asked for while rebuilding   the moment that is set again     Redis alone decides       TestFaultWhatIsRebuiltIsNotLookedUp
//	a request dies while rebuilding      its row, by the next of its key  sealed for it, duplicate  TestFaultARowIsStoredBehindTheRebuild
//	a seal fails, its rows are stored    (trusted) the stamp              sent again: inserted      TestACallWhoseSealFailedIsCountedInsertedWhenSentAgain
//	Redis lost, an Idempotency-Key again the contests                     counted once              TestAnIdempotencyKeyIsExactAfterRedisIsLost
//	… twice, another had its events      the other's row and receipt      counted once              TestAnIdempotencyKeyIsExactAfterRedisIsLostTwice
//
// Not found, and so not to be done: deleting single keys of ours by hand; a clock
// that leaps ahead by more than the margin and back again while no request runs
// and between two looks; two Redis servers for one ClickHouse (each finds the
// other's trust record there, and both stay suspect and say so). A split brain of
// Redis can count a key twice within the failover's lag, never lose one:
// min-replicas-to-write bounds it.
package ledger
