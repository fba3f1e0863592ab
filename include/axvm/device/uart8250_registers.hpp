#pragma once

#include <cstdint>

namespace axvm::inline v1 {

/// The registers of a PC16550D as [ns/16550d] 8 names them: offsets from the base port, then the bits of each. One
/// offset serves two registers where reads and writes, or the divisor latch access bit, tell them apart.
struct Uart8250Registers {
  // Offset      Register                                  Access
  static constexpr std::uint8_t RBR = 0;  ///< receiver buffer                         R, DLAB = 0
  static constexpr std::uint8_t THR = 0;  ///< transmitter holding                     W, DLAB = 0
  static constexpr std::uint8_t DLL = 0;  ///< divisor latch, low                      RW, DLAB = 1
  static constexpr std::uint8_t IER = 1;  ///< interrupt enable                        RW, DLAB = 0
  static constexpr std::uint8_t DLM = 1;  ///< divisor latch, high                     RW, DLAB = 1
  static constexpr std::uint8_t IIR = 2;  ///< interrupt identification                R
  static constexpr std::uint8_t FCR = 2;  ///< FIFO control                            W
  static constexpr std::uint8_t LCR = 3;  ///< line control                            RW
  static constexpr std::uint8_t MCR = 4;  ///< modem control                           RW
  static constexpr std::uint8_t LSR = 5;  ///< line status                             R
  static constexpr std::uint8_t MSR = 6;  ///< modem status                            R
  static constexpr std::uint8_t SCR = 7;  ///< scratch                                 RW

  // Interrupt enable; bits 4 to 7 read as zero.
  static constexpr std::uint8_t IER_ERBFI = 0x01;  ///< received data available and character timeout
  static constexpr std::uint8_t IER_ETBEI = 0x02;  ///< transmitter holding register empty
  static constexpr std::uint8_t IER_ELSI = 0x04;   ///< receiver line status
  static constexpr std::uint8_t IER_EDSSI = 0x08;  ///< modem status
  static constexpr std::uint8_t IER_MASK = 0x0f;

  // Interrupt identification: bit 0 is clear while an interrupt is pending; bits 1 to 3 say which, highest first.
  static constexpr std::uint8_t IIR_RLS = 0x06;    ///< receiver line status: OE, PE, FE or BI; cleared by reading LSR
  static constexpr std::uint8_t IIR_RDA = 0x04;    ///< received data available, or trigger level reached
  static constexpr std::uint8_t IIR_CTI = 0x0c;    ///< character timeout; cleared by reading RBR
  static constexpr std::uint8_t IIR_THRE = 0x02;   ///< transmitter empty; cleared by reading IIR or writing THR
  static constexpr std::uint8_t IIR_MS = 0x00;     ///< modem status; cleared by reading MSR
  static constexpr std::uint8_t IIR_NONE = 0x01;   ///< no interrupt pending
  static constexpr std::uint8_t IIR_FIFOS = 0xc0;  ///< set while the FIFOs are enabled

  // FIFO control. Without FCR_ENABLE the other bits do nothing; bits 3 (DMA mode), 4 and 5 are ignored.
  static constexpr std::uint8_t FCR_ENABLE = 0x01;      ///< FIFOs on; changing it clears both
  static constexpr std::uint8_t FCR_CLEAR_RCVR = 0x02;  ///< self-clearing
  static constexpr std::uint8_t FCR_CLEAR_XMIT = 0x04;  ///< self-clearing
  static constexpr std::uint8_t FCR_TRIGGER = 0xc0;     ///< receiver trigger level: 1, 4, 8 or 14 bytes

  // Line control.
  static constexpr std::uint8_t LCR_WLS = 0x03;   ///< word length: 5 to 8 bits
  static constexpr std::uint8_t LCR_STB = 0x04;   ///< two stop bits
  static constexpr std::uint8_t LCR_PEN = 0x08;   ///< parity
  static constexpr std::uint8_t LCR_SB = 0x40;    ///< set break
  static constexpr std::uint8_t LCR_DLAB = 0x80;  ///< divisor latch access

  // Modem control; bits 5 to 7 read as zero.
  static constexpr std::uint8_t MCR_DTR = 0x01;
  static constexpr std::uint8_t MCR_RTS = 0x02;
  static constexpr std::uint8_t MCR_OUT1 = 0x04;
  static constexpr std::uint8_t MCR_OUT2 = 0x08;  ///< on a PC: connects the interrupt output to the bus
  static constexpr std::uint8_t MCR_LOOP =
      0x10;  ///< loopback: transmitter to receiver, modem outputs to modem inputs, all pins inactive
  static constexpr std::uint8_t MCR_MASK = 0x1f;

  // Line status. OE, PE, FE and BI are cleared by reading.
  static constexpr std::uint8_t LSR_DR = 0x01;       ///< data ready
  static constexpr std::uint8_t LSR_OE = 0x02;       ///< overrun
  static constexpr std::uint8_t LSR_PE = 0x04;       ///< parity error
  static constexpr std::uint8_t LSR_FE = 0x08;       ///< framing error
  static constexpr std::uint8_t LSR_BI = 0x10;       ///< break interrupt
  static constexpr std::uint8_t LSR_THRE = 0x20;     ///< transmitter holding register empty
  static constexpr std::uint8_t LSR_TEMT = 0x40;     ///< transmitter empty
  static constexpr std::uint8_t LSR_RX_FIFO = 0x80;  ///< an error is somewhere in the receiver FIFO

  // Modem status: what changed since the last read, and the inputs.
  static constexpr std::uint8_t MSR_DCTS = 0x01;
  static constexpr std::uint8_t MSR_DDSR = 0x02;
  static constexpr std::uint8_t MSR_TERI = 0x04;  ///< the trailing edge of RI
  static constexpr std::uint8_t MSR_DDCD = 0x08;
  static constexpr std::uint8_t MSR_CTS = 0x10;
  static constexpr std::uint8_t MSR_DSR = 0x20;
  static constexpr std::uint8_t MSR_RI = 0x40;
  static constexpr std::uint8_t MSR_DCD = 0x80;
  static constexpr std::uint8_t MSR_DELTA = 0x0f;
};

}  // namespace axvm::inline v1
