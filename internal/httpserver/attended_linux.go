package httpserver

import "golang.org/x/sys/unix"

// States of TCP, of the kernel's include/net/tcp_states.h.
const (
	tcpClose     = 7
	tcpCloseWait = 8 // the peer will send nothing more
	tcpLastAck   = 9
)

// peerEnded asks the kernel. A socket that is none of TCP has no such state.
func peerEnded(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return false
	}
	return info.State == tcpClose || info.State == tcpCloseWait || info.State == tcpLastAck
}
