// Package auth decides who is calling: it turns an API key or a webhook
// signature into a [Principal], and keeps the organizations, API keys and
// signing keys that the decision rests on.
//
// A [Directory] holds all credentials in memory and answers from there, without
// a lock and without a round trip. The truth is a [Store] (ClickHouse); the
// directory follows it.
//
// # How long a change takes
//
// Each snapshot knows its age: the moment *before* the store was asked whether
// anything had changed. A request is answered only from a snapshot younger than
// [Config.MaxStaleness] (2 s, and never more). Hence a revocation that was stored at
// R is obeyed by every process from R + 2 s on, whatever else happens: a process
// has either asked the store after R, or its snapshot is too old to be used.
// No clock is compared with another machine's.
//
//	       ┌────────── asked every RefreshInterval, on Notify, ──────────┐
//	       │           and by a request that finds it old                │
//	[never loaded] ──ok──▶ [fresh] ──MaxStaleness without an answer──▶ [too old]
//	   │ 503                 │ answers                              │ waits for
//	   ▼                     ▼                                      ▼ a refresh, then 503
//
// A request that finds the snapshot too old waits up to [Config.MaxWait] for the
// refresh that it has just asked for, so a slow store, an idle process (which
// does not poll) or a machine that slept costs milliseconds, not an error. What
// was written through this Directory makes older snapshots unusable at once: a
// created key works in the next request of the process that made it.
//
// Other processes are told ([Config.Announce], there [Directory.Notify]) and have a
// change as soon as they have loaded it. Nothing rests on it: an announcement that is lost
// costs the time until the next poll.
//
//	failure                          what a client sees
//	store down or slow               503 unavailable once the snapshot is too old
//	announcements (pub/sub) down     nothing: polling alone keeps the 2 s
//	a signing key cannot be          503 for signatures that no other key proves:
//	decrypted (wrong master key)     "cannot tell" is never "allowed", nor "forged"
//	process killed                   at most FlushInterval of use counts is lost
//
// # Replays
//
// A signature of the scheme v1 covers a timestamp, which must be no further from the
// clock than the organization's tolerance. Within it a repeated request is accepted
// again, and changes nothing that the first did not: events are counted once, a list
// filter that is set already is "already_received". It does not stop a repeat, within
// the tolerance, of what was undone, erased or replaced since; nor whoever has the
// secret; and path, query and headers are not signed.
//
// # What is stored
//
// API keys are kept as SHA-256; with 256 random bits in a key no slow hash is
// needed. Signing secrets must be read again to verify, so they are encrypted by
// AES-256-GCM under a master key from the settings, bound to their organization
// and id. Another master key is brought in by [Directory.RotateMasterKey], record by
// record, while every process decrypts with both. Keys and secrets are shown once;
// [Secret] keeps them out of logs and errors.
package auth
