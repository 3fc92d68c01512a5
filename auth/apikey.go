package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"leadevents"
)

// An API key is 64 characters:
//
//	le_ 7Kc9QmPxRt _ 44 random characters 6 of checksum
//
// The ten characters after le_ are its id and public. base58 has none of 0, O, I
// and l, and a double click selects all of it. 44 characters carry 44·log2(58) =
// 257.7 bits. The checksum is the CRC-32 of everything before it (58^6 > 2^32):
// any one wrong character and any two swapped neighbours are seen, so a typo is
// told from a key that does not exist without looking anything up.
const (
	keyPrefix    = "le_"
	secretPrefix = "les_" // of signing secrets
	base58       = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

	idLength       = 10
	randomLength   = 44
	checksumLength = 6
	keyLength      = len(keyPrefix) + idLength + 1 + randomLength + checksumLength
)

var isBase58 = func() (set [256]bool) {
	for i := range len(base58) {
		set[base58[i]] = true
	}
	return set
}()

// randomBase58 draws n characters uniformly from the system's random source.
func randomBase58(n int) string {
	out := make([]byte, 0, n)
	var buf [64]byte
	for {
		_, _ = rand.Read(buf[:]) // never fails since Go 1.24
		for _, b := range buf {
			if b >= 4*58 { // 256 is no multiple of 58: the rest would favour the first characters
				continue
			}
			if out = append(out, base58[b%58]); len(out) == n {
				return string(out)
			}
		}
	}
}

// newKey draws an API key and its id.
func newKey() (id string, key Secret) {
	id = randomBase58(idLength)
	body := keyPrefix + id + "_" + randomBase58(randomLength)
	return id, NewSecret(body + keyChecksum(body))
}

// newSigningSecret draws a signing secret and its id. The text as shown is the
// HMAC key, byte for byte, which is what `openssl dgst -hmac` takes.
func newSigningSecret() (id string, secret Secret) {
	return randomBase58(idLength), NewSecret(secretPrefix + randomBase58(randomLength))
}

func keyChecksum(body string) string {
	n := crc32.ChecksumIEEE([]byte(body))
	var out [checksumLength]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i], n = base58[n%58], n/58
	}
	return string(out[:])
}

// keySum checks the shape and the checksum of an API key and gives the SHA-256
// under which it is looked up. Its errors quote nothing of the key.
func keySum(key string) ([32]byte, error) {
	switch {
	case strings.HasPrefix(key, secretPrefix):
		return [32]byte{}, errors.New("a signing secret was sent as an API key: it signs webhooks and must not be sent")
	case !strings.HasPrefix(key, keyPrefix):
		return [32]byte{}, errors.New("the API key is malformed: one that begins with " + keyPrefix + " was expected")
	case len(key) != keyLength:
		return [32]byte{}, fmt.Errorf("the API key is mistyped: it has %d characters, every key has %d", len(key), keyLength)
	}
	const sep = len(keyPrefix) + idLength
	for i := len(keyPrefix); i < len(key); i++ {
		if !isBase58[key[i]] && (i != sep || key[i] != '_') {
			return [32]byte{}, fmt.Errorf("the API key is mistyped: no key has a character like its %d. one", i+1)
		}
	}
	if body := key[:keyLength-checksumLength]; key[sep] != '_' || keyChecksum(body) != key[len(body):] {
		return [32]byte{}, errors.New("the API key is mistyped (its checksum does not match)")
	}
	return sha256.Sum256([]byte(key)), nil
}

// ParseKeyID finds an API key's id in what people have at hand: the id, the prefix
// that lists show, or the whole key.
func ParseKeyID(text string) (string, error) {
	if _, err := keySum(text); err == nil {
		text = text[:len(keyPrefix)+idLength]
	}
	id := strings.TrimPrefix(text, keyPrefix)
	if !isID(id) {
		// Not quoted: it may be a whole key with a typo.
		return "", leadevents.Errorf(leadevents.InvalidRequest, "id is neither an API key's id (%d characters) nor its prefix (%s and the id)", idLength, keyPrefix)
	}
	return id, nil
}

// ParseSigningKeyID reads a signing key's id, which is no part of its secret.
func ParseSigningKeyID(text string) (string, error) {
	if strings.HasPrefix(text, secretPrefix) {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "id is a signing secret: the id (%d characters) was expected, as lists show it", idLength)
	}
	if !isID(text) {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "id is not a signing key's id (%d characters, as lists show it)", idLength)
	}
	return text, nil
}

func isID(text string) bool { return len(text) == idLength && strings.Trim(text, base58) == "" }

// bearer takes the credential out of an Authorization header. The scheme's case
// does not matter (RFC 9110, 11.1).
func bearer(authorization string) (string, error) {
	const scheme = "Bearer"
	name, key, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if !strings.EqualFold(name, scheme) {
		return "", errors.New("the Authorization header is not of the form: Bearer, a space, an API key")
	}
	if key = strings.TrimSpace(key); key == "" {
		return "", errors.New("the Authorization header says Bearer, but no API key follows")
	}
	return key, nil
}
