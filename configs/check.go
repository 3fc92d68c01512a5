package configs

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"leadevents/auth"
)

// Faults is everything that is wrong with the settings, one sentence each.
type Faults struct{ list []string }

// Error is all sentences, a line each.
func (f *Faults) Error() string {
	if len(f.list) == 1 {
		return f.list[0]
	}
	return fmt.Sprintf("%d settings are wrong:\n  %s", len(f.list), strings.Join(f.list, "\n  "))
}

// List is the sentences.
func (f *Faults) List() []string { return slices.Clone(f.list) }

func (f *Faults) add(source, format string, args ...any) {
	f.list = append(f.list, source+": "+fmt.Sprintf(format, args...))
}

// show is the value as it may be printed.
func (s setting) show(value string) string {
	switch {
	case s.secret() && value != "":
		return "***"
	case s.kind == listType:
		return "[" + strings.ReplaceAll(value, ",", ", ") + "]"
	case value == "":
		return `""`
	}
	return value
}

// check reads value into the setting's field, and reports what is wrong with it.
func (s setting) check(into *Settings, value, source string, faults *Faults) {
	shown := s.show(value)
	if s.secret() {
		shown = fmt.Sprintf("a secret of %d characters", len(value))
	}
	if err := s.assign(into, value); err != nil {
		faults.add(source, "%s is %s: %v", s.key, shown, err)
	}
}

// assign reads value into the setting's field; its error is the second half of a
// sentence and never contains a secret.
func (s setting) assign(into *Settings, value string) error {
	field := s.field(into)
	switch s.kind {
	case durationType:
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("it must be a duration such as 500ms, 30s or 72h%s", s.between())
		}
		if err := inRange(s, d, time.ParseDuration); err != nil {
			return err
		}
		field.SetInt(int64(d))
	case bytesType:
		b, err := ParseBytes(value)
		if err != nil {
			return fmt.Errorf("it must be a size in bytes, or with KiB, MiB or GiB, such as 256MiB%s", s.between())
		}
		if err := inRange(s, b, ParseBytes); err != nil {
			return err
		}
		field.SetInt(int64(b))
	case secretType:
		if err := s.checkSecret(value); err != nil {
			return err
		}
		field.Set(reflect.ValueOf(auth.NewSecret(value)))
	case listType:
		if value == "" && s.form == "networks" {
			field.Set(reflect.Zero(listType)) // none
			return nil
		}
		items := strings.Split(value, ",")
		for i, item := range items {
			items[i] = strings.TrimSpace(item)
			if err := checkForm(s.form, items[i]); err != nil {
				return err
			}
		}
		field.Set(reflect.ValueOf(items))
	default:
		return s.assignPlain(field, value)
	}
	return nil
}

// assignPlain is assign for the types of the language.
func (s setting) assignPlain(field reflect.Value, value string) error {
	switch s.kind.Kind() {
	case reflect.Bool:
		if value != "true" && value != "false" {
			return fmt.Errorf("it must be true or false")
		}
		field.SetBool(value == "true")
	case reflect.Int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("it must be a whole number%s", s.between())
		}
		if err := inRange(s, n, strconv.Atoi); err != nil {
			return err
		}
		field.SetInt(int64(n))
	case reflect.String:
		if len(s.oneOf) > 0 && !slices.Contains(s.oneOf, value) {
			return fmt.Errorf("it must be one of %s", strings.Join(s.oneOf, ", "))
		}
		if err := checkForm(s.form, value); err != nil {
			return err
		}
		field.SetString(value)
	default:
		return fmt.Errorf("settings cannot be of type %s", s.kind)
	}
	return nil
}

// between is the range as the end of a sentence, empty without one.
func (s setting) between() string {
	lowest, highest, ok := strings.Cut(s.limits, "..")
	if !ok {
		return ""
	}
	return fmt.Sprintf(", between %s and %s", lowest, highest)
}

// inRange holds value to the setting's range.
func inRange[T cmp.Ordered](s setting, value T, parse func(string) (T, error)) error {
	lowest, highest, ok := strings.Cut(s.limits, "..")
	if !ok {
		return nil
	}
	low, err := parse(lowest)
	if err != nil {
		return fmt.Errorf("its range %q cannot be read: %w", s.limits, err)
	}
	high, err := parse(highest)
	if err != nil {
		return fmt.Errorf("its range %q cannot be read: %w", s.limits, err)
	}
	if value < low || value > high {
		return fmt.Errorf("it must be between %s and %s", lowest, highest)
	}
	return nil
}

func (s setting) checkSecret(value string) error {
	if value == "" {
		return nil // not set; who needs it says so
	}
	if s.form == "key32" {
		if _, err := auth.ParseMasterKey(auth.NewSecret(value)); err != nil {
			return errors.New("it must be 32 bytes in hex or base64, as `openssl rand -hex 32` prints them")
		}
		return nil
	}
	if err := checkForm("word", value); err != nil {
		return err
	}
	if s.limits != "" && inRange(s, len(value), strconv.Atoi) != nil {
		return fmt.Errorf("it must have %s characters", strings.Replace(s.limits, "..", " to ", 1))
	}
	return nil
}

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
	prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	wordPattern   = regexp.MustCompile(`^[\x21-\x7e]{0,256}$`)
)

// checkForm holds text to the form a setting names; its error is the second half
// of a sentence.
func checkForm(form, text string) error {
	switch form {
	case "hostport", "listen":
		host, port, err := net.SplitHostPort(text)
		n, portErr := strconv.ParseUint(port, 10, 16)
		lowest := uint64(1)
		if form == "listen" { // port 0 picks a free one, no host means all of them
			lowest, host = 0, cmp.Or(host, "0.0.0.0")
		}
		if err != nil || portErr != nil || n < lowest || host == "" {
			return fmt.Errorf("it must be HOST:PORT, with a port between %d and 65535, such as 127.0.0.1:8080", lowest)
		}
	case "loopback":
		if text == "" {
			return nil
		}
		// An address and no name: whom a name means is decided elsewhere, and later.
		at, err := netip.ParseAddrPort(text)
		if err != nil || !at.Addr().IsLoopback() {
			return fmt.Errorf("it must be empty, or a loopback address with a port, such as 127.0.0.1:6060 or [::1]:6060")
		}
	case "name":
		if !namePattern.MatchString(text) {
			return fmt.Errorf("it must be a name of 1 to 64 letters, digits and _ that begins with no digit")
		}
	case "prefix":
		if !prefixPattern.MatchString(text) {
			return fmt.Errorf("it must have 1 to 32 letters, digits, _ and -")
		}
	case "word":
		if !wordPattern.MatchString(text) {
			return fmt.Errorf("it must have at most 256 visible ASCII characters, without spaces")
		}
	case "networks":
		if _, err := ParseNetwork(text); err != nil {
			return err
		}
	case "file":
		if text == "" {
			return nil
		}
		if info, err := os.Stat(text); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("it must be the path of a file that exists")
		}
	}
	return nil
}
