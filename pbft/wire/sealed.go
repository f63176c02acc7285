package wire

// Sealed is a message whose every signature, nested ones too, was checked, or
// that this process signed itself. Only this package makes one.
type Sealed struct {
	message Message
	frame   []byte
}

// Message returns the verified message. Nobody may change it.
func (s *Sealed) Message() Message { return s.message }

// Frame returns the message's one encoding. Nobody may change it.
func (s *Sealed) Frame() []byte { return s.frame }
