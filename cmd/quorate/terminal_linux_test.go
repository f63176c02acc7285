package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new terminal: a person's, and a program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd()) //nolint:gosec // a descriptor is small
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// TestPromptsLeaveTheTerminalAsItWas types passphrases, Ctrl-C and Ctrl-D where a command
// asks for them, and has a signal end it.
func TestPromptsLeaveTheTerminalAsItWas(t *testing.T) {
	for name, test := range map[string]struct {
		typed  string
		signal bool
		code   int
		told   string
	}{
		"equal": {"secret\nsecret\n", false, exitDone, "\nThe same again: \n"},
		"differ": {
			"secret\nsecrte\n", false, exitUsage,
			"\nThe same again: \nquorate: the two passphrases differ: try again\n",
		},
		"none":   {"\n", false, exitUsage, "\nquorate: the passphrase is empty\n"},
		"ctrl-d": {"\x04", false, exitUsage, "\nquorate: the passphrase is empty\n"},
		"ctrl-c": {"sec\x03", false, exitFailure, "\nquorate: passphrase: interrupted\n"},
		"signal": {"sec", true, exitFailure, "\nquorate: passphrase: interrupted\n"},
	} {
		t.Run(name, func(t *testing.T) {
			person, program := openTerminal(t)
			shown := isShown(t, program)
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var out, errs bytes.Buffer
			c := &console{in: program, out: &out, err: &errs, env: func(string) string { return "" }}
			key, ended := filepath.Join(t.TempDir(), "key"), make(chan int, 1)
			go func() { ended <- run(ctx, c, []string{"keys", "new", key}) }()
			awaitHidden(t, program, ended)
			if _, err := person.WriteString(test.typed); err != nil {
				t.Fatal(err)
			}
			if test.signal {
				interrupt()
			}
			if code := <-ended; code != test.code || errs.String() != "Passphrase: "+test.told {
				t.Errorf("exit code %d and %q, want %d and %q", code, &errs, test.code, test.told)
			}
			if !shown || !isShown(t, program) {
				t.Error("the terminal does not show what is typed")
			}
		})
	}
}

// TestOnlyTerminalsAreToldInEscapes looks at the tones of a terminal, and has the fuzzer tell
// of its progress in a file while the output is one.
func TestOnlyTerminalsAreToldInEscapes(t *testing.T) {
	_, program := openTerminal(t)
	for term, want := range map[string]bool{"xterm": true, "": true, "dumb": false} {
		path := filepath.Join(t.TempDir(), "log")
		log, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		c := &console{out: &output{File: program}, err: log, env: func(name string) string {
			return map[string]string{"TERM": term}[name]
		}}
		if got := newStory(c).reset != ""; got != want {
			t.Errorf("TERM=%s: it has tones: %v, want %v", term, got, want)
		}
		over, end := context.WithCancel(t.Context())
		end()
		c.watchFuzz(over, &fuzzer{}, time.Now())
		if text, err := os.ReadFile(path); err != nil || len(text) > 0 {
			t.Errorf("TERM=%s: the log of errors has %q (%v), want nothing", term, text, err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}

// isShown tells whether a terminal shows what is typed.
func isShown(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS) //nolint:gosec // a descriptor is small
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// awaitHidden waits until a terminal does not show what is typed.
func awaitHidden(t *testing.T, terminal *os.File, ended <-chan int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for isShown(t, terminal) {
		select {
		case code := <-ended:
			t.Fatalf("it ended with exit code %d, want it to ask", code)
		case <-tick.C:
		}
	}
}
