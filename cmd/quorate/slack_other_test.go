//go:build !linux

package main

// printSlack does nothing where there is none.
func printSlack() {}
