package configs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// composeFile is what these tests need of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Build       string
		Ports       []string
		Volumes     []string
		Environment map[string]string
		Healthcheck struct{ Test []string }
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		GracePeriod string                                `yaml:"stop_grace_period"`
	}
	Volumes map[string]any
}

func readCompose(t *testing.T) (c composeFile, text string) {
	t.Helper()
	raw, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) != 4 {
		t.Fatalf("%d services, want clickhouse, redis, migrate and leadevents", len(c.Services))
	}
	return c, string(raw)
}

// pinned is an image with a version of at least two numbers.
var pinned = regexp.MustCompile(`^[a-z0-9/-]+:\d+\.\d+(\.\d+)*(-[a-z0-9.]+)?$`)

func TestImagesArePinned(t *testing.T) {
	c, _ := readCompose(t)
	var images []string
	for name, s := range c.Services {
		if (s.Image == "") == (s.Build == "") {
			t.Errorf("%s: image %q, build %q: one of them was expected", name, s.Image, s.Build)
		}
		if s.Image != "" {
			images = append(images, s.Image)
		}
	}
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(dockerfile), -1) {
		images = append(images, m[1])
	}
	if len(images) != 4 {
		t.Errorf("images %v, want two of the stores and two of the Dockerfile", images)
	}
	for _, image := range images {
		if !pinned.MatchString(image) {
			t.Errorf("image %s has no pinned version", image)
		}
	}
	if user := regexp.MustCompile(`(?m)^USER (\d+)`).FindSubmatch(dockerfile); user == nil || string(user[1]) == "0" {
		t.Error("the Dockerfile's last user is root, or has no number")
	}
}

func TestOnlyTheAPIIsPublishedOnLoopback(t *testing.T) {
	c, _ := readCompose(t)
	for name, s := range c.Services {
		want := []string(nil)
		if name == "leadevents" {
			want = []string{"${PUBLISH:-127.0.0.1:8080}:8080"}
		}
		if !slices.Equal(s.Ports, want) {
			t.Errorf("%s publishes %q, want %q", name, s.Ports, want)
		}
	}
}

func TestEveryComposeVariableIsASetting(t *testing.T) {
	c, text := readCompose(t)
	for _, name := range []string{"migrate", "leadevents"} {
		environment := c.Services[name].Environment
		if len(environment) < 5 {
			t.Errorf("%s has %d variables", name, len(environment))
		}
		for variable := range environment {
			if !slices.Contains(Env(), variable) {
				t.Errorf("%s sets %s, which is no setting", name, variable)
			}
		}
	}
	// What it interpolates: secrets are demanded, the rest has a default, and all
	// of it is in the example.
	example, err := os.ReadFile("../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`\$\{(\w+)(:[?-])?[^}]*\}`).FindAllStringSubmatch(text, -1) {
		found++
		name, form := m[1], m[2]
		secret := strings.HasPrefix(name, EnvPrefix)
		if secret && form != ":?" {
			t.Errorf("compose starts without %s", name)
		}
		if !secret && form != ":-" {
			t.Errorf("%s has no default", name)
		}
		if !regexp.MustCompile(`(?m)^#?` + name + `=`).Match(example) {
			t.Errorf(".env.example does not show %s", name)
		}
		if secret && !regexp.MustCompile(`(?m)^`+name+`=$`).Match(example) {
			t.Errorf(".env.example gives a value to the secret %s", name)
		}
	}
	if found < 8 {
		t.Errorf("%d variables found in docker-compose.yml", found)
	}
}

// The environment of the compose file, with secrets filled in, is accepted.
func TestComposeSettingsLoad(t *testing.T) {
	clean(t)
	c, _ := readCompose(t)
	for name, value := range c.Services["leadevents"].Environment {
		switch {
		case strings.HasSuffix(name, "_MASTER_KEY"):
			value = strings.Repeat("0f", 32)
		case strings.Contains(value, ":?"):
			value = strings.Repeat("0f", 24)
		case strings.Contains(value, ":-"):
			value = strings.TrimSuffix(value[strings.Index(value, ":-")+2:], "}")
		}
		t.Setenv(name, value)
	}
	loaded, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Listen != "0.0.0.0:8080" || loaded.ClickHouse.Fsync || loaded.MasterKey.IsZero() || loaded.OperatorToken.IsZero() {
		t.Errorf("loaded %+v", loaded.Settings)
	}
	grace, err := time.ParseDuration(c.Services["leadevents"].GracePeriod)
	if err != nil || grace < 2*loaded.HTTP.ShutdownTimeout {
		t.Errorf("docker kills the server after %s, which may need 2 × %s to stop", grace, loaded.HTTP.ShutdownTimeout)
	}
}

func TestServicesAreWaitedForAndWatched(t *testing.T) {
	c, _ := readCompose(t)
	for _, name := range []string{"clickhouse", "redis", "leadevents"} {
		if len(c.Services[name].Healthcheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
	for name, want := range map[string]string{"migrate": "service_completed_successfully", "redis": "service_healthy"} {
		if got := c.Services["leadevents"].DependsOn[name].Condition; got != want {
			t.Errorf("the server waits for %s: %q, want %q", name, got, want)
		}
	}
	for name, s := range c.Services {
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if strings.HasPrefix(source, "./") {
				if _, err := os.Stat(filepath.Join("..", source)); err != nil {
					t.Errorf("%s mounts %s: %v", name, source, err)
				}
			} else if _, ok := c.Volumes[source]; !ok {
				t.Errorf("%s mounts the volume %s, which is not declared", name, source)
			}
		}
	}
}

func TestClickHouseFilesLeaveNoDefaultUser(t *testing.T) {
	for _, name := range []string{"config.xml", "users.xml"} {
		text, err := os.ReadFile("compose/clickhouse/" + name)
		if err != nil {
			t.Fatal(err)
		}
		dec := xml.NewDecoder(bytes.NewReader(text))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	var users struct {
		Users struct {
			Default *struct {
				Remove string `xml:"remove,attr"`
			} `xml:"default"`
			Leadevents *struct {
				Password struct {
					FromEnv string `xml:"from_env,attr"`
					Text    string `xml:",chardata"`
				} `xml:"password"`
			} `xml:"leadevents"`
		} `xml:"users"`
		AsyncInsert string `xml:"profiles>default>async_insert"`
	}
	text, err := os.ReadFile("compose/clickhouse/users.xml")
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, &users); err != nil {
		t.Fatal(err)
	}
	if d := users.Users.Default; d == nil || d.Remove != "remove" {
		t.Error("the image's default user stays")
	}
	c, _ := readCompose(t)
	u := users.Users.Leadevents
	if u == nil || u.Password.Text != "" || c.Services["clickhouse"].Environment[u.Password.FromEnv] == "" {
		t.Errorf("the user's password does not come from a variable that compose sets: %+v", u)
	}
	if users.AsyncInsert != "0" {
		t.Errorf("async_insert is %q", users.AsyncInsert)
	}
}

// Redis itself reads the file, with the password line that compose adds.
func TestRedisAcceptsItsFile(t *testing.T) {
	text, err := os.ReadFile("compose/redis.conf")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	dir := t.TempDir()
	// As in the container but for where it is; of bind and port the last line wins.
	const dataDir = "dir /data\n"
	if !strings.Contains(string(text), dataDir) {
		t.Error("redis.conf does not keep its files in the volume")
	}
	conf := write(t, "redis.conf", strings.Replace(string(text), dataDir, "dir "+dir+"\n", 1)+
		"requirepass secret\nbind 127.0.0.1\nport "+strconv.Itoa(port)+"\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "redis-server", conf)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatalf("start redis-server (Debian's package redis-server): %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	ask := func() (string, error) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			return "", err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "AUTH secret\r\nCONFIG GET maxmemory-policy\r\nCONFIG GET appendonly\r\nQUIT\r\n"); err != nil {
			return "", err
		}
		answer, err := io.ReadAll(bufio.NewReader(conn))
		return string(answer), err
	}
	var answer string
	for answer == "" {
		select {
		case <-ended:
			t.Fatalf("redis-server does not take the file:\n%s", &output)
		case <-ctx.Done():
			t.Fatalf("redis-server does not answer within a minute: %v", err)
		case <-time.After(10 * time.Millisecond):
			answer, err = ask()
		}
	}
	if !strings.HasPrefix(answer, "+OK") {
		t.Errorf("the password is not accepted: %q", answer)
	}
	for _, want := range []string{"noeviction", "yes"} {
		if !strings.Contains(answer, want) {
			t.Errorf("%q does not say %s", answer, want)
		}
	}
}
