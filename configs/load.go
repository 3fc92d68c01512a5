package configs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// Options is where settings come from besides the environment and the defaults.
type Options struct {
	// File is the path of the YAML file; empty means none.
	File string
	// Flags are the values given on the command line, by key.
	Flags map[string]string
	// OtherEnv are LEADEVENTS_* variables that are known but are no settings.
	OtherEnv []string
}

// Loaded is the settings with where each came from.
type Loaded struct {
	Settings

	values  map[string]string // as written, secrets masked
	sources map[string]string
}

// Defaults is the settings when nobody sets anything.
func Defaults() Settings {
	var d Settings
	for _, s := range schema() {
		if err := s.assign(&d, s.fallback); err != nil {
			panic(fmt.Sprintf("default of %s: %v", s.key, err)) // a test loads them all
		}
	}
	return d
}

// Load gathers the settings (flags, environment, file, defaults, the first that
// has a value wins) and checks all of them. Its error is a [*Faults] where
// settings are wrong, else that of reading a file.
func Load(o Options) (*Loaded, error) {
	all := schema()
	faults := &Faults{}
	file, err := readFile(o.File, all, faults)
	if err != nil {
		return nil, err
	}
	checkEnv(all, o.OtherEnv, faults)
	checkFlags(all, o.Flags, faults)

	v := viper.New()
	v.AllowEmptyEnv(true) // set but empty is not the same as not set
	keys, _ := names(all)
	for _, key := range keys {
		if err := v.BindEnv(key, envName(key)); err != nil {
			return nil, fmt.Errorf("bind %s to its variable: %w", key, err)
		}
		if val, ok := o.Flags[key]; ok {
			v.Set(key, val)
		}
	}
	if err := v.MergeConfigMap(file.tree); err != nil {
		return nil, fmt.Errorf("merge %s: %w", o.File, err)
	}

	loaded := &Loaded{Settings: Defaults(), values: map[string]string{}, sources: map[string]string{}}
	origin := func(key string) (layer int, source string) {
		if _, ok := o.Flags[key]; ok {
			return 3, "flag " + key
		}
		if _, ok := os.LookupEnv(envName(key)); ok {
			return 2, envName(key)
		}
		if line, ok := file.lines[key]; ok {
			return 1, fmt.Sprintf("%s:%d", filepath.Base(o.File), line)
		}
		return 0, "default"
	}
	for _, s := range all {
		layer, source := origin(s.key)
		value := s.fallback
		if layer > 0 {
			value = v.GetString(s.key)
		}
		if s.secret() {
			fileLayer, fileSource := origin(s.fileKey())
			switch {
			case fileLayer > 0 && fileLayer == layer:
				faults.add(source, "%s and %s are both set: give one of them", s.key, s.fileKey())
			case fileLayer > layer:
				source = fileSource
				if value, err = readSecret(v.GetString(s.fileKey())); err != nil {
					faults.add(source, "%s: %v", s.fileKey(), err)
					continue
				}
			}
		}
		loaded.sources[s.key] = source
		if source != "default" {
			s.check(&loaded.Settings, value, source, faults)
		}
		loaded.values[s.key] = s.show(value)
	}
	if len(faults.list) == 0 { // a rule between two values makes sense only once both do
		loaded.Settings.rules(faults)
	}
	if len(faults.list) > 0 {
		return nil, faults
	}
	return loaded, nil
}

// checkEnv finds LEADEVENTS_* variables that nobody would read.
func checkEnv(all []setting, other []string, faults *Faults) {
	keys, _ := names(all)
	known := make([]string, 0, len(keys)+len(other))
	for _, key := range keys {
		known = append(known, envName(key))
	}
	known = append(known, other...)
	environ := os.Environ()
	slices.Sort(environ)
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, EnvPrefix) && !slices.Contains(known, name) {
			faults.add("environment", "%s is no setting%s", name, suggest(name, known))
		}
	}
}

// checkFlags finds keys given with --set that do not exist.
func checkFlags(all []setting, flags map[string]string, faults *Faults) {
	keys, _ := names(all)
	var given []string
	for key := range flags {
		given = append(given, key)
	}
	slices.Sort(given)
	for _, key := range given {
		if !slices.Contains(keys, key) {
			faults.add("flag --set", "%s is no setting%s", key, suggest(key, keys))
		}
	}
}

// maxSecretFile is more than any secret needs; a larger file is the wrong one.
const maxSecretFile = 64 << 10

// readSecret is the content of a secret's file, without the newline that
// editors leave at the end.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if len(text) > maxSecretFile {
		return "", fmt.Errorf("%s is over %d bytes: that is no secret", path, maxSecretFile)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// Write prints every setting with its value and where it came from, secrets
// masked, in the order of the example.
func (l *Loaded) Write(w io.Writer) error {
	width := 0
	all := schema()
	for _, s := range all {
		width = max(width, len(s.key)+len(l.values[s.key]))
	}
	for _, s := range all {
		pad := width - len(s.key) - len(l.values[s.key])
		if _, err := fmt.Fprintf(w, "%s: %s%*s  # %s\n", s.key, l.values[s.key], pad, "", l.sources[s.key]); err != nil {
			return fmt.Errorf("print the settings: %w", err)
		}
	}
	return nil
}
