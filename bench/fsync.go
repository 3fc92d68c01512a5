package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// timeFsync measures an fsync of 4 KiB in the folder, which says how much of the
// price of durability is this disk's.
func timeFsync(folder string) (s sample, err error) {
	f, err := os.CreateTemp(folder, "fsync-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for range 50 {
		if _, err := f.Write(page); err != nil {
			return nil, fmt.Errorf("write before an fsync: %w", err)
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return nil, fmt.Errorf("fsync: %w", err)
		}
		s = append(s, time.Since(began))
	}
	return s, nil
}
