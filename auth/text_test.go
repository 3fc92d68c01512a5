package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"leadevents"
)

// A key made outside this package (CRC-32 by Python's zlib), so that a change of
// the format cannot go unnoticed: it would lock out every key there is.
const (
	fixedKey    = "le_7Kc9QmPxRt_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj76X3P9"
	fixedKeySHA = "f3134a5cccc8b76fe499948dbec39717d84d43463b1f3888912478639627632a"
)

func TestKeyFormatStands(t *testing.T) {
	sum, err := keySum(fixedKey)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum[:]); got != fixedKeySHA {
		t.Errorf("the key is looked up by %s, not by its SHA-256 %s", got, fixedKeySHA)
	}
}

func TestNewKeysAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	var characters [256]int
	for range 2000 {
		id, key := newKey()
		text := key.Reveal()
		if _, err := keySum(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !strings.HasPrefix(text, "le_"+id+"_") || len(id) != idLength || (APIKey{ID: id}).Prefix() != text[:13] {
			t.Fatalf("%s does not begin with its prefix le_%s", text, id)
		}
		sid, secret := newSigningSecret()
		if !strings.HasPrefix(secret.Reveal(), "les_") || len(secret.Reveal()) != 48 || strings.Contains(secret.Reveal(), sid) {
			t.Fatalf("signing secret %s with id %s", secret.Reveal(), sid)
		}
		for _, s := range []string{id, text, sid, secret.Reveal()} {
			if seen[s] {
				t.Fatalf("%s was drawn twice", s)
			}
			seen[s] = true
		}
		for i := range randomLength {
			characters[text[14+i]]++
		}
	}
	// 88,000 draws of 58: 1,517 each, with a deviation of 39. A reduction modulo
	// 58 without rejection would give some characters a quarter more.
	for i := range len(base58) {
		if n := characters[base58[i]]; n < 1517-250 || n > 1517+250 {
			t.Errorf("character %q came %d times, about 1,517 were expected", base58[i], n)
		}
	}
}

func TestATypoIsToldFromAnUnknownKey(t *testing.T) {
	const typo, malformed = "mistyped", "malformed"
	for _, c := range []struct{ claim, key, want string }{
		{"one wrong character", strings.Replace(fixedKey, "Qm", "Qn", 1), typo},
		{"a wrong character in the id", strings.Replace(fixedKey, "7Kc", "8Kc", 1), typo},
		{"a wrong checksum", fixedKey[:63] + "8", typo},
		{"two neighbours swapped", strings.Replace(fixedKey, "UoQ", "UQo", 1), typo},
		{"the last character missing", fixedKey[:63], typo},
		{"a character too many", fixedKey + "1", typo},
		{"the prefix alone", fixedKey[:13], typo},
		{"a character that no key has", strings.Replace(fixedKey, "8s", "0s", 1), typo},
		{"another separator", strings.Replace(fixedKey, "Rt_", "Rt-", 1), typo},
		{"no separator", strings.Replace(fixedKey, "Rt_8", "Rt88", 1), typo},
		{"a second separator", strings.Replace(fixedKey, "_8s", "__s", 1), typo},
		{"a byte beyond ASCII", strings.Replace(fixedKey, "8s", "\xffs", 1), typo},
		{"upper case", strings.ToUpper(fixedKey), malformed},
		{"something else", "hello", malformed},
		{"nothing", "", malformed},
		{"a signing secret", "les_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj", "must not be sent"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			_, err := keySum(c.key)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q in it", err, c.want)
			}
			for i := 0; i+6 <= len(c.key); i++ {
				if strings.Contains(err.Error(), c.key[i:i+6]) {
					t.Fatalf("the error quotes the key: %v", err)
				}
			}
		})
	}
}

func TestEverySingleTypoIsSeen(t *testing.T) {
	for i := range len(fixedKey) {
		for j := range len(base58) {
			typo := fixedKey[:i] + base58[j:j+1] + fixedKey[i+1:]
			if _, err := keySum(typo); err == nil && typo != fixedKey {
				t.Fatalf("%s passes for %s", typo, fixedKey)
			}
		}
		if i+1 < len(fixedKey) {
			swapped := fixedKey[:i] + fixedKey[i+1:i+2] + fixedKey[i:i+1] + fixedKey[i+2:]
			if _, err := keySum(swapped); err == nil && swapped != fixedKey {
				t.Fatalf("%s passes for %s", swapped, fixedKey)
			}
		}
	}
}

func TestBearer(t *testing.T) {
	for _, c := range []struct {
		claim, header, key string
		ok                 bool
	}{
		{"as documented", "Bearer abc", "abc", true},
		{"the scheme's case does not matter", "bEARER abc", "abc", true},
		{"more space", "  Bearer   abc ", "abc", true},
		{"no key", "Bearer", "", false},
		{"only space for a key", "Bearer   ", "", false},
		{"a key without a scheme", fixedKey, "", false},
		{"another scheme", "Basic YTpi", "", false},
		{"no space", "Bearerabc", "", false},
		{"nothing", "", "", false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			key, err := bearer(c.header)
			if key != c.key || (err == nil) != c.ok {
				t.Errorf("%q: %q, %v", c.header, key, err)
			}
			if err != nil && c.header != "" && strings.Contains(err.Error(), "YTpi") {
				t.Errorf("the error quotes the credential: %v", err)
			}
		})
	}
}

func TestParseSignature(t *testing.T) {
	digits := strings.Repeat("0a", 32)
	want := [32]byte(bytes.Repeat([]byte{0x0a}, 32))
	for _, c := range []struct {
		claim, header string
		ok            bool
	}{
		{"as documented", "sha256=" + digits, true},
		{"v1, as documented", "v1=" + digits, true},
		{"v1, upper-case hex", "v1=" + strings.ToUpper(digits), true},
		{"v1, upper-case prefix", "V1=" + digits, false},
		{"v1, a digit too few", "v1=" + digits[1:], false},
		{"v1, a digit too many", "v1=" + digits + "0", false},
		{"v1, no digit", "v1=", false},
		{"v1, a byte that is no hex digit", "v1=" + digits[:62] + "0g", false},
		{"v1, both schemes in one", "v1=sha256=" + digits, false},
		{"v1, the timestamp with it, as Stripe has it", "t=1778610840,v1=" + digits, false},
		{"v2", "v2=" + digits, false},
		{"upper-case hex", "sha256=" + strings.ToUpper(digits), true},
		{"mixed-case hex", "sha256=" + strings.Repeat("0a0A", 16), true},
		{"no prefix", digits, false},
		{"upper-case prefix", "SHA256=" + digits, false},
		{"another hash", "sha512=" + digits, false},
		{"a digit too few", "sha256=" + digits[1:], false},
		{"a digit too many", "sha256=" + digits + "0", false},
		{"no digit", "sha256=", false},
		{"a byte that is no hex digit", "sha256=" + digits[:62] + "0g", false},
		{"space inside", "sha256= " + digits[1:], false},
		{"space around", " sha256=" + digits, false},
		{"base64", "sha256=CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo=", false},
		{"two signatures", "sha256=" + digits + ",sha256=" + digits, false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s, err := parseSignature(c.header, "1778610840")
			if (err == nil) != c.ok || (c.ok && (s.mac != want || (s.timestamp == "") == strings.HasPrefix(c.header, "v1="))) {
				t.Errorf("%q: %+v, %v", c.header, s, err)
			}
		})
	}
}

func FuzzKeySum(f *testing.F) {
	for _, seed := range []string{fixedKey, fixedKey[:63], "le_", "les_", "", strings.Repeat("le_", 22), "le_7Kc9QmPxRt_\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if _, err := keySum(key); err != nil {
			return
		}
		// What passes is exactly what newKey could have made.
		body := key[:keyLength-checksumLength]
		if len(key) != keyLength || key[:3] != keyPrefix || key[13] != '_' || body+keyChecksum(body) != key {
			t.Errorf("%q passes", key)
		}
		if strings.Trim(key[3:13]+key[14:], base58) != "" {
			t.Errorf("%q passes with a strange character", key)
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"Bearer " + fixedKey, "Bearer", "bearer\t", " ", "Basic x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		key, err := bearer(header)
		if err == nil && (key == "" || strings.TrimSpace(key) != key || !strings.Contains(header, key)) {
			t.Errorf("%q gives %q", header, key)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	for _, seed := range []string{"sha256=" + strings.Repeat("0a", 32), "sha256=", "", "sha256=" + strings.Repeat("\x00", 64), "v1=" + strings.Repeat("0a", 32)} {
		for _, timestamp := range []string{"", "1778610840", "99999999999", "-1", "1778610840.0"} {
			f.Add(seed, timestamp)
		}
	}
	f.Fuzz(func(t *testing.T, header, timestamp string) {
		s, err := parseSignature(header, timestamp)
		if err != nil {
			if s != (signature{}) {
				t.Errorf("%q, %q: an error and a signature", header, timestamp)
			}
			return
		}
		prefix := "sha256="
		if s.timestamp != "" {
			prefix = "v1="
			if s.timestamp != timestamp || strings.TrimLeft(timestamp, "0") != strings.TrimLeft(fmt.Sprint(s.at.Unix()), "0") {
				t.Errorf("%q gives %q, %s", timestamp, s.timestamp, s.at)
			}
		}
		if digits, ok := strings.CutPrefix(header, prefix); !ok || !strings.EqualFold(digits, hex.EncodeToString(s.mac[:])) {
			t.Errorf("%q gives %x", header, s.mac)
		}
	})
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const text = "hunter2-hunter2"
	s := NewSecret(text)
	nested := struct {
		Public  Secret
		private Secret
		deep    struct{ private *Secret }
	}{Public: s, private: s}
	nested.deep.private = &s
	created := NewAPIKey{Key: s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, s, &s, nested, created)
	}
	fmt.Fprintln(&out, fmt.Errorf("wrap %v", s), leadevents.Errorf(leadevents.Internal, "%v", s))
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "secret", s, "nested", nested, "created", created)
	}
	raw, err := json.Marshal(map[string]any{"s": s, "p": &s, "n": nested})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	printed := out.String()
	for _, leak := range []string{text, hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))} {
		if strings.Contains(printed, leak) {
			t.Errorf("printed: %s", printed)
		}
	}
	if !strings.Contains(printed, masked) || s.Reveal() != text || (Secret{}).Reveal() != "" || !(Secret{}).IsZero() || s.IsZero() {
		t.Errorf("the mask or the text is missing: %s", printed)
	}
}

func TestKeyIDs(t *testing.T) {
	const id = "7Kc9QmPxRt"
	for _, c := range []struct {
		claim, text string
		apiKey      bool // the id of an API key is found in it
		signingKey  bool // of a signing key
	}{
		{"an id", id, true, true},
		{"a prefix", "le_" + id, true, false},
		{"a whole key", fixedKey, true, false},
		{"a whole key with a typo", fixedKey[:63] + "8", false, false},
		{"a signing secret", "les_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj", false, false},
		{"a character that no id has", "7Kc9QmPxR0", false, false},
		{"a character too few", id[:9], false, false},
		{"a character too many", id + "1", false, false},
		{"a prefix twice", "le_le_" + id, false, false},
		{"nothing", "", false, false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			for _, p := range []struct {
				parse func(string) (string, error)
				ok    bool
			}{{ParseKeyID, c.apiKey}, {ParseSigningKeyID, c.signingKey}} {
				got, err := p.parse(c.text)
				if p.ok != (err == nil) || p.ok != (got == id) {
					t.Errorf("%q, %v", got, err)
				}
				if err != nil && (leadevents.KindOf(err) != leadevents.InvalidRequest || (c.text != "" && strings.Contains(err.Error(), c.text))) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}
