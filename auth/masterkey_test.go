package auth

import (
	"encoding/base64"
	"strings"
	"testing"

	"leadevents"
)

const hexKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfeff"

func mustMasterKey(t testing.TB, text string) MasterKey {
	t.Helper()
	m, err := ParseMasterKey(NewSecret(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseMasterKey(t *testing.T) {
	want := mustMasterKey(t, hexKey).ID()
	if len(want) != 16 || strings.Contains(hexKey, want) {
		t.Errorf("the key's id is %q", want)
	}
	for _, c := range []struct {
		claim, text string
		ok          bool
	}{
		{"upper-case hex", strings.ToUpper(hexKey), true},
		{"base64", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd/v8=", true},
		{"base64 without padding", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd/v8", true},
		{"base64 for addresses", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd_v8=", true},
		{"base64 for addresses without padding", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd_v8", true},
		{"31 bytes", hexKey[2:], false},
		{"33 bytes", hexKey + "00", false},
		{"16 bytes", hexKey[:32], false},
		{"a passphrase", "correct horse battery staple", false},
		{"nothing", "", false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			m, err := ParseMasterKey(NewSecret(c.text))
			if (err == nil) != c.ok || (c.ok && m.ID() != want) {
				t.Errorf("%q: id %q, %v", c.text, m.ID(), err)
			}
			if err != nil && len(c.text) > 8 && strings.Contains(err.Error(), c.text[:8]) {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
	made := NewMasterKey()
	if mustMasterKey(t, made.Reveal()).ID() == mustMasterKey(t, NewMasterKey().Reveal()).ID() {
		t.Error("two new master keys are the same")
	}
}

func TestSealedSecretsOpenOnlyWhereTheyBelong(t *testing.T) {
	current, other := mustMasterKey(t, hexKey), mustMasterKey(t, strings.Repeat("ab", 32))
	ring := NewKeyring(current)
	secret := NewSecret("les_secret")
	sealed, masterKeyID, err := ring.seal(7, "key1", secret)
	if err != nil {
		t.Fatal(err)
	}
	k := SigningKey{ID: "key1", Org: 7, Sealed: sealed, MasterKeyID: masterKeyID}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || strings.Contains(string(raw), secret.Reveal()) {
		t.Fatalf("sealed as %q: %v", sealed, err)
	}
	if again, _, _ := ring.seal(7, "key1", secret); again == sealed {
		t.Error("the same secret is sealed the same way twice: the nonce repeats")
	}

	with := func(change func(*SigningKey)) SigningKey {
		c := k
		change(&c)
		return c
	}
	flipped := func(i int) string {
		b := append([]byte(nil), raw...)
		b[i] ^= 1
		return base64.StdEncoding.EncodeToString(b)
	}
	for _, c := range []struct {
		claim string
		ring  Keyring
		key   SigningKey
		ok    bool
	}{
		{"the key that sealed it", ring, k, true},
		{"a ring where it is an older key", NewKeyring(other, current), k, true},
		{"a ring without it", NewKeyring(other), k, false},
		{"no ring", Keyring{}, k, false},
		{"another organization's row", ring, with(func(k *SigningKey) { k.Org = 8 }), false},
		{"another key's row", ring, with(func(k *SigningKey) { k.ID = "key2" }), false},
		{"another master key's id", NewKeyring(other, current), with(func(k *SigningKey) { k.MasterKeyID = other.ID() }), false},
		{"a changed version", ring, with(func(k *SigningKey) { k.Sealed = flipped(0) }), false},
		{"a changed nonce", ring, with(func(k *SigningKey) { k.Sealed = flipped(1) }), false},
		{"a changed byte", ring, with(func(k *SigningKey) { k.Sealed = flipped(15) }), false},
		{"a changed tag", ring, with(func(k *SigningKey) { k.Sealed = flipped(len(raw) - 1) }), false},
		{"cut off", ring, with(func(k *SigningKey) { k.Sealed = k.Sealed[:8] }), false},
		{"not base64", ring, with(func(k *SigningKey) { k.Sealed = "?" }), false},
		{"wiped", ring, with(func(k *SigningKey) { k.Sealed = "" }), false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			got, err := c.ring.open(c.key)
			if (err == nil) != c.ok || (c.ok && string(got) != secret.Reveal()) {
				t.Errorf("got %q, %v", got, err)
			}
			if !c.ok && got != nil {
				t.Errorf("an error and a secret: %q", got)
			}
		})
	}

	if _, _, err := (Keyring{}).seal(7, "key1", secret); leadevents.KindOf(err) != leadevents.Conflict || !strings.Contains(err.Error(), "master_key") {
		t.Errorf("sealing without a master key: %v", err)
	}
}

func TestOperatorToken(t *testing.T) {
	token := NewOperatorToken(NewSecret("op-0123456789"))
	for _, c := range []struct {
		claim, header string
		token         OperatorToken
		ok            bool
	}{
		{"the token", "Bearer op-0123456789", token, true},
		{"no header", "", token, false},
		{"another token", "Bearer op-0123456780", token, false},
		{"a beginning of it", "Bearer op-012345678", token, false},
		{"more than it", "Bearer op-01234567890", token, false},
		{"an API key", "Bearer " + fixedKey, token, false},
		{"no scheme", "op-0123456789", token, false},
		{"no token set", "Bearer op-0123456789", OperatorToken{}, false},
		{"an empty token set", "Bearer x", NewOperatorToken(NewSecret("")), false},
		{"an empty token set and sent", "Bearer ", NewOperatorToken(Secret{}), false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			err := c.token.Check(c.header)
			if (err == nil) != c.ok || (!c.ok && leadevents.KindOf(err) != leadevents.Unauthenticated) {
				t.Errorf("%v", err)
			}
		})
	}
}
