package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// printSlack is a program that relaxes its timers and prints their slack, as it was when
// the program started, in nanoseconds.
func printSlack() {
	relaxTimers()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println(slack, err)
}
