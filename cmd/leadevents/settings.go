package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"leadevents/cmd/internal/app"
	"leadevents/configs"
)

// configEnv names the settings file where --config does not.
const configEnv = "LEADEVENTS_CONFIG"

// settingsFlags are the flags of every command that reads settings.
type settingsFlags struct {
	config  string
	dataDir string
	listen  string
	level   string
	sets    []string
}

// addSettingsFlags gives cmd --config, --set and --log-level.
func addSettingsFlags(cmd *cobra.Command) *settingsFlags {
	f := &settingsFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "the YAML `FILE` with settings (also "+configEnv+"); all have defaults")
	flags.StringArrayVar(&f.sets, "set", nil, "one setting as `KEY=VALUE`, such as redis.db=3; may be repeated")
	flags.StringVar(&f.level, "log-level", "", "`LEVEL` of the log: debug, info, warn or error (default info)")
	return f
}

// addListen gives cmd --listen.
func (f *settingsFlags) addListen(cmd *cobra.Command) *settingsFlags {
	cmd.Flags().StringVar(&f.listen, "listen", "", "serve HTTP on `HOST:PORT` (default 127.0.0.1:8080)")
	return f
}

// addDataDir gives cmd --data-dir: the stores of a `leadevents dev` that runs.
func (f *settingsFlags) addDataDir(cmd *cobra.Command) *settingsFlags {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "instead of the stores of the settings, use those of the leadevents dev that runs on `DIR`")
	return f
}

// load reads the settings that the flags, the environment and the file give.
func (f *settingsFlags) load(cmd *cobra.Command) (*configs.Loaded, error) {
	file := f.config
	if file == "" {
		file = os.Getenv(configEnv)
	}
	values := map[string]string{}
	if f.dataDir != "" {
		dev, err := app.DevSettings(f.dataDir)
		if err != nil {
			return nil, err
		}
		values = dev
	}
	for _, set := range f.sets {
		key, value, ok := strings.Cut(set, "=")
		if !ok {
			return nil, usagef(cmd, "--set %s: KEY=VALUE was expected", set)
		}
		values[key] = value
	}
	if f.listen != "" {
		values["listen"] = f.listen
	}
	if f.level != "" {
		values["log.level"] = f.level
	}
	return configs.Load(configs.Options{File: file, Flags: values, OtherEnv: app.OtherEnv(configEnv, urlEnv, keyEnv, caEnv, signingEnv)})
}
