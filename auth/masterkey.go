package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"leadevents"
)

// MasterKeySize is the length of a master key in bytes.
const MasterKeySize = 32

// MasterKey encrypts signing secrets at rest. Its zero value encrypts nothing.
type MasterKey struct {
	id   string
	aead cipher.AEAD
}

// NewMasterKey draws a master key and gives the text for the settings.
func NewMasterKey() Secret {
	var key [MasterKeySize]byte
	_, _ = rand.Read(key[:]) // never fails since Go 1.24
	return NewSecret(hex.EncodeToString(key[:]))
}

// ParseMasterKey reads 32 bytes in hex (64 digits) or base64 (43 or 44
// characters, either alphabet).
func ParseMasterKey(text Secret) (MasterKey, error) {
	s := text.Reveal()
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(s); err == nil && len(key) == MasterKeySize {
			return newMasterKey(key)
		}
	}
	return MasterKey{}, fmt.Errorf("the master key is not 32 bytes in hex (64 digits) or base64 (44 characters): it has %d characters; `openssl rand -hex 32` makes one", len(s))
}

func newMasterKey(key []byte) (MasterKey, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return MasterKey{}, fmt.Errorf("use the master key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return MasterKey{}, fmt.Errorf("use the master key: %w", err)
	}
	// The id names the key in stored rows and messages; 64 bits of a hash of 256
	// random ones give nothing of the key away.
	sum := sha256.Sum256(append([]byte("leadevents master key id\x00"), key...))
	return MasterKey{id: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

// ID names the key without revealing it; empty of the zero value.
func (m MasterKey) ID() string { return m.id }

// Keyring is the master key that encrypts, and others that decrypt too: older ones
// until every secret is encrypted anew, and the next one before anything is. The zero value has none: then there
// are no signing keys, and hmac mode is refused.
type Keyring struct {
	current MasterKey
	byID    map[string]MasterKey
}

// NewKeyring encrypts with current and decrypts with all.
func NewKeyring(current MasterKey, others ...MasterKey) Keyring {
	r := Keyring{current: current, byID: map[string]MasterKey{}}
	for _, m := range append(others, current) {
		if m.id != "" {
			r.byID[m.id] = m
		}
	}
	return r
}

// Has tells whether the ring decrypts what m has encrypted.
func (r Keyring) Has(m MasterKey) bool {
	_, ok := r.byID[m.id]
	return ok
}

// sealVersion is the first byte of what seal makes, so that another way of
// encrypting can be told apart one day.
const sealVersion = 1

// errNoMasterKey refuses what would have to be stored in clear; the %s is what.
const errNoMasterKey = "%s cannot be stored: this server has no master key to encrypt them (setting master_key, LEADEVENTS_MASTER_KEY)"

// seal encrypts a signing secret: base64 of version, nonce (96 random bits: far
// below 2^32 secrets under one key, so a repeat is out of reach) and ciphertext.
// The organization and the key's id are authenticated along, so a row that is
// copied to another organization, or over another key, does not decrypt.
func (r Keyring) seal(org leadevents.OrgID, id string, secret Secret) (sealed, masterKeyID string, err error) {
	if r.current.aead == nil {
		return "", "", leadevents.Errorf(leadevents.Conflict, errNoMasterKey, "signing secrets")
	}
	return r.sealFor(sealedFor(org, id), []byte(secret.Reveal()))
}

// sealFor encrypts a secret and authenticates along what it is for. There must be a
// current master key.
func (r Keyring) sealFor(purpose, secret []byte) (sealed, masterKeyID string, err error) {
	out := make([]byte, 1, 1+r.current.aead.NonceSize()+len(secret)+r.current.aead.Overhead())
	out[0] = sealVersion
	nonce := make([]byte, r.current.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	out = append(out, nonce...)
	out = r.current.aead.Seal(out, nonce, secret, purpose)
	return base64.StdEncoding.EncodeToString(out), r.current.id, nil
}

// open decrypts what seal made for the same organization and id.
func (r Keyring) open(k SigningKey) ([]byte, error) {
	return r.openFor(sealedFor(k.Org, k.ID), k.Sealed, k.MasterKeyID)
}

// openFor decrypts what sealFor made for the same purpose.
func (r Keyring) openFor(purpose []byte, sealed, masterKeyID string) ([]byte, error) {
	m, ok := r.byID[masterKeyID]
	if !ok {
		return nil, fmt.Errorf("it is encrypted under master key %q, which is not in the settings", masterKeyID)
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, errors.New("its stored form is damaged: it is not base64")
	}
	n := m.aead.NonceSize()
	if len(raw) < 1+n || raw[0] != sealVersion {
		return nil, errors.New("its stored form is damaged, or made by a newer version")
	}
	secret, err := m.aead.Open(nil, raw[1:1+n], raw[1+n:], purpose)
	if err != nil {
		return nil, errors.New("its stored form was changed, or belongs to another organization or key")
	}
	return secret, nil
}

func sealedFor(org leadevents.OrgID, id string) []byte {
	ad := append([]byte("leadevents signing key\x00"), make([]byte, 8)...)
	binary.BigEndian.PutUint64(ad[len(ad)-8:], uint64(org))
	return append(ad, id...)
}
