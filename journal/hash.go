package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"leadevents"
)

// Hash is what an erased lead is known by: HMAC-SHA256 over organization and phone, and
// Sieve, eight bytes of the same under AES, which are found out in a tenth of the time
// and say of all but one phone in 10^13 that it is not erased. Each under a key of its
// own, both derived from the data key KeyID. Without that key neither can be tried: there
// are 10^10 phones, and a hash without a key would be a phone book.
type Hash struct {
	KeyID string
	Sieve uint64
	Sum   [sha256.Size]byte
}

// Name is by what the audit log knows the lead: the first half of the sum.
func (h Hash) Name() string { return hex.EncodeToString(h.Sum[:8]) }

// Key hashes leads under one data key.
type Key struct {
	id    string
	sieve cipher.Block
	mac   []byte
}

// NewKey derives the keys of both hashes.
func NewKey(id string, data []byte) (*Key, error) {
	sieve, err := hkdf.Key(sha256.New, data, nil, "leadevents erased lead: sieve", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of the sieve: %w", err)
	}
	mac, err := hkdf.Key(sha256.New, data, nil, "leadevents erased lead: sum", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of the sum: %w", err)
	}
	block, err := aes.NewCipher(sieve)
	if err != nil {
		return nil, fmt.Errorf("use the key of the sieve: %w", err)
	}
	return &Key{id: id, sieve: block, mac: mac}, nil
}

// put writes what is hashed, 16 bytes.
func put(b []byte, org leadevents.OrgID, phone leadevents.Phone) {
	binary.BigEndian.PutUint64(b, uint64(org))
	binary.BigEndian.PutUint64(b[8:], uint64(phone))
}

// Hash is the hash of a lead.
func (k *Key) Hash(org leadevents.OrgID, phone leadevents.Phone) Hash {
	var in, out [aes.BlockSize]byte
	put(in[:], org, phone)
	k.sieve.Encrypt(out[:], in[:])
	return Hash{KeyID: k.id, Sieve: binary.BigEndian.Uint64(out[:]), Sum: k.sum(in[:])}
}

func (k *Key) sum(in []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, k.mac)
	_, _ = h.Write(in)
	h.Sum(sum[:0])
	return sum
}
