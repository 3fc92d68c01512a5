package main

import (
	"os"
	"os/user"
	"strconv"

	"leadevents/audit"
)

// shellUser is whose acts the audit log says a command's are: user@host, as the
// system tells. That is no proof: whoever has the stores' passwords may call himself
// as he likes.
func shellUser() audit.Actor {
	name := strconv.Itoa(os.Getuid()) // a container may have no name for it
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return audit.Actor{Type: audit.Command, ID: name}
}
