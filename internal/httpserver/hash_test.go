package httpserver

import (
	"fmt"
	"hash/crc64"
	"io"
)

// hash is a checksum and a count.
type hash struct {
	n   int
	sum uint64
}

var crcTable = crc64.MakeTable(crc64.ECMA)

func newHash() *hash { return &hash{} }

func (h *hash) Write(p []byte) (int, error) {
	h.n += len(p)
	h.sum = crc64.Update(h.sum, crcTable, p)
	return len(p), nil
}

func (h *hash) String() string { return fmt.Sprintf("%d:%x", h.n, h.sum) }

func sum(r io.Reader) string {
	h := newHash()
	if _, err := io.Copy(h, r); err != nil {
		panic(err)
	}
	return h.String()
}
