package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// localResult mirrors struct local_result_v2 of chdb.h; only the message is read.
type localResult struct {
	_            uintptr // char *buf
	_            uint64  // size_t len
	_            uintptr // void *_vec
	_            float64 // double elapsed
	_, _         uint64  // uint64_t rows_read, bytes_read
	errorMessage *byte
}

// runEngine loads the library and runs clickhouse-local in this thread until
// its last statement ends. An error of a statement is printed by the engine
// itself; its supervisor sees the exit and those words.
func runEngine(library string, args []string) error {
	runtime.LockOSThread()
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("load the engine: %w", err)
	}
	// Purego panics where the symbol is missing; ask first, to say it better.
	symbol, err := purego.Dlsym(handle, "query_stable_v2")
	if err != nil {
		return fmt.Errorf("%s is not a chdb library: %w", library, err)
	}
	var query func(argc int32, argv **byte) *localResult
	purego.RegisterFunc(&query, symbol)

	args = append([]string{"clickhouse"}, args...)
	argv := make([]*byte, len(args)+1) // C wants the nil at the end
	for i, arg := range args {
		argv[i] = &append([]byte(arg), 0)[0]
	}
	result := query(int32(len(args)), &argv[0])
	runtime.KeepAlive(argv)
	if result == nil {
		return errors.New("the engine returned no result")
	}
	if result.errorMessage != nil {
		return errors.New(goString(result.errorMessage))
	}
	return nil
}

func goString(c *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(c), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(c, n))
}
