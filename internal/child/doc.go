// Package child keeps a server process running beside ours: it starts it, waits
// until it answers, starts it again when it dies, and ends it in order.
//
// Both stores of `leadevents dev` run this way, the ClickHouse engine and
// redis-server.
//
//	Start ──► starting ──ready──► up ──exit──► waiting (100 ms … 10 s, doubling)
//	              │                │ ▲               │
//	              │                │ └────ready──────┘
//	              ▼                ▼
//	            error            Stop ──► stopping ──► gone (SIGKILL after StopTimeout)
//
// What is left behind when something is killed:
//
//	killed              then
//	the child           it is started again on the same files; OnStart hears the new pid
//	our process         a child stopped by its stdin reads the end of the pipe and stops in
//	                    order; another one gets SIGTERM from the kernel (parent death signal)
//	both, half way      the pid file names the child by pid, start time, boot and executable;
//	                    the next Start ends exactly that process and never a reused pid
//
// A [Folder] is the data folder of such a child: held by one living process at
// a time, with files that only its owner reads.
package child
