// Package notify tells other server processes at once that something has changed,
// by Redis pub/sub.
//
// What is sent is a hint and nothing else: that there is something to look at. Where
// the truth is, and how long it may be out of date, is known to who listens. So a
// hint may be lost, come twice, or be made up by whoever reaches the Redis port, and
// costs a look at most.
//
//	      ┌──────────── the connection breaks, or is silent ────────────┐
//	      ▼                                                             │
//	[disconnected] ──dial, SUBSCRIBE──▶ [subscribed] ──a message──▶ hint│
//	      │ 0.1 s … 5 s between tries         │                         │
//	      └───────────────────────────────────┴── is a hint too: what was
//	                                              announced meanwhile is missed
//
//	failure                          what follows
//	Redis down or slow               an announcement is given up after Config.Timeout;
//	                                 who listens finds the change at his next look
//	Redis stopped without closing    noticed after two times Config.Silence
//	a flood of messages              one hint each Config.Gap, the last one never lost
package notify
