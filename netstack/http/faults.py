"""Why a response could not be had, in the words that intermediaries have for it (RFC 9209 §2.3)."""

from enum import StrEnum


class ErrorType(StrEnum):
    """The types of RFC 9209 §2.3 that a client can tell apart; a closed set, also of a metric's label."""

    DNS_TIMEOUT = "dns_timeout"
    DNS_ERROR = "dns_error"
    DESTINATION_UNAVAILABLE = "destination_unavailable"
    DESTINATION_IP_PROHIBITED = "destination_ip_prohibited"
    DESTINATION_IP_UNROUTABLE = "destination_ip_unroutable"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TERMINATED = "connection_terminated"
    CONNECTION_TIMEOUT = "connection_timeout"
    CONNECTION_READ_TIMEOUT = "connection_read_timeout"
    CONNECTION_WRITE_TIMEOUT = "connection_write_timeout"
    CONNECTION_LIMIT_REACHED = "connection_limit_reached"
    TLS_PROTOCOL_ERROR = "tls_protocol_error"
    TLS_CERTIFICATE_ERROR = "tls_certificate_error"
    TLS_ALERT_RECEIVED = "tls_alert_received"
    HTTP_REQUEST_ERROR = "http_request_error"
    HTTP_RESPONSE_INCOMPLETE = "http_response_incomplete"
    HTTP_RESPONSE_HEADER_SECTION_SIZE = "http_response_header_section_size"
    HTTP_RESPONSE_BODY_SIZE = "http_response_body_size"
    HTTP_RESPONSE_TRAILER_SECTION_SIZE = "http_response_trailer_section_size"
    HTTP_RESPONSE_TRANSFER_CODING = "http_response_transfer_coding"
    HTTP_RESPONSE_TIMEOUT = "http_response_timeout"
    HTTP_PROTOCOL_ERROR = "http_protocol_error"
    PROXY_INTERNAL_ERROR = "proxy_internal_error"
    PROXY_CONFIGURATION_ERROR = "proxy_configuration_error"
    PROXY_LOOP_DETECTED = "proxy_loop_detected"

    @property
    def status(self) -> int:
        """What a gateway answers its own client with, as RFC 9209 recommends."""
        return _STATUSES.get(self, 502)


_STATUSES = {
    ErrorType.DNS_TIMEOUT: 504,
    ErrorType.DESTINATION_UNAVAILABLE: 503,
    ErrorType.CONNECTION_TIMEOUT: 504,
    ErrorType.CONNECTION_READ_TIMEOUT: 504,
    ErrorType.CONNECTION_WRITE_TIMEOUT: 504,
    ErrorType.CONNECTION_LIMIT_REACHED: 503,
    ErrorType.HTTP_REQUEST_ERROR: 400,
    ErrorType.HTTP_RESPONSE_TIMEOUT: 504,
    ErrorType.PROXY_INTERNAL_ERROR: 500,
    ErrorType.PROXY_CONFIGURATION_ERROR: 500,
}
