"""Where Squid 5.7, Varnish 7.1 and nginx 1.22 do otherwise than the conformance table asks: why, and in which rows.

"Allowed": the RFCs let a cache do less. Everything else is a requirement, or a wish (SHOULD), that is not met.
"""

Differences = tuple[tuple[str, str], ...]

OURS: Differences = ()

SQUID: Differences = (
    ("Does not implement RFC 9211: no Cache-Status. Allowed.", """
        cache-status-has-no-key cache-status-is-appended cache-status-not-stored cache-status-of-a-hit
        cache-status-of-a-hit-has-no-fwd cache-status-of-a-method cache-status-of-a-miss cache-status-of-a-part
        cache-status-of-a-refusal cache-status-of-a-reload cache-status-of-a-stale-one cache-status-of-a-validation
        cache-status-of-another-variant cache-status-stored cache-status-ttl cache-status-ttl-of-a-stale-one
    """),
    ("Does not implement RFC 9213: CDN-Cache-Control is a field like any other. Allowed.", """
        targeted-0 targeted-before-expires targeted-before-no-store targeted-lifetime targeted-lifetime-is-over
        targeted-no-cache targeted-no-store targeted-on-two-lines targeted-private
        targeted-says-nothing-of-lifetime-but-expires-does targeted-the-last-one-counts targeted-with-parameters
        targeted-with-unknown-directives
    """),
    ("Statuses that are not in its list are never stored, whatever lifetime they have. Allowed.", """
        a-guess-for-204 a-guess-for-404 a-guess-for-405 a-guess-for-414 a-guess-for-501 a-guess-for-what-is-public
        status-204-with-a-lifetime status-303-with-a-lifetime status-400-with-a-lifetime status-403-with-a-lifetime
        status-404-with-a-lifetime status-414-with-a-lifetime status-451-with-a-lifetime status-500-with-a-lifetime
        status-501-with-a-lifetime status-503-with-a-lifetime status-599-with-a-lifetime
    """),
    ("Never stores partial content, and does not ask for the rest of it. Allowed.", """
        a-body-cut-short-is-completed a-part-is-completed a-part-is-reused a-part-of-a-part-is-reused
        a-part-without-a-validator-is-reused a-suffix-out-of-a-part parts-are-combined
    """),
    (
        "Directives and dates are compared in lower case alone; quoted numbers and those beyond 31 bits are not read. "
        "For no-cache that is wrong: the response is reused.", """
        expires-in-other-case max-age-beyond-64-bits max-age-in-capitals max-age-of-2-to-31 max-age-quoted
        no-cache-in-capitals
    """),
    ("A number is read up to its first wrong character: 3600.5 is an hour, an Age of 7200.0 two.", """
        age-with-a-fraction max-age-with-a-fraction
    """),
    ("An Age that does not fit into 31 bits is dropped: very old responses are fresh.", """
        age-beyond-64-bits age-of-2-to-31
    """),
    ("Reads malformed dates of Expires as if they were well formed: what is to be taken as expired is fresh.", """
        expires-with-dashes expires-without-a-comma
    """),
    ("Expires counts from its own clock instead of from Date.", """
        a-date-in-the-future-makes-nothing-fresher
    """),
    ("A response without a Date, or with one that it cannot read, is not reused. Allowed.", """
        a-missing-date-is-added an-invalid-date
    """),
    ("A reverse proxy keeps Authorization for itself unless it is told otherwise (login=PASS).", """
        authorization-is-passed-on
    """),
    ("Ignores no-store even where must-understand says that it may. Allowed.", """
        must-understand
    """),
    ("no-cache and private with a list of fields are read as if there were no list. Allowed (RFC 9111 §5.2.2.4).", """
        no-cache-field-rest-is-reused private-field-rest-is-reused
    """),
    ("Only Proxy-Authenticate and Proxy-Authorization are left out.", """
        not-stored-proxy-authentication-info
    """),
    (
        "When If-Range does not hold, the 200 has wrong octets: those from the offset of the range. A date that is "
        "later counts as the same.", """
        if-range-and-a-weak-tag-stored if-range-of-a-later-date if-range-of-a-weak-tag if-range-of-another-tag
    """),
    ("Serves ranges also for HEAD; not satisfiable ones get the whole; ranges that touch are not joined.", """
        range-of-head range-of-no-octets-at-the-end range-that-is-not-there ranges-that-touch
    """),
    ("Answers If-Match by itself with 412 although only the origin can know.", """
        client-if-match-is-the-origins
    """),
    ("A weak tag makes no If-None-Match; If-Modified-Since is made up from the Date where there is no Last-Modified.", """
        if-none-match-of-a-weak-tag no-condition-without-a-validator
    """),
    ("Validates a client's reload by fetching the whole. Allowed.", """
        immutable-and-no-cache request-no-cache-validates
    """),
    (
        "Sends the client's own If-None-Match on instead of its union with what is stored; after a validation the "
        "client gets 200. Allowed.", """
        client-is-told-304-after-validation client-tag-beside-ours vary-other-tags-are-asked
    """),
    ("Two lines of If-Modified-Since with one date count as one.", """
        client-if-modified-since-twice
    """),
    ("A 304 updates one variant, and not all that have its strong tag.", """
        vary-a-304-updates-all-of-its-strong-tag
    """),
    ("A 304 that it makes lacks the ETag.", """
        fields-of-a-304
    """),
    ("A 304 repeats metadata of the representation.", """
        fields-that-a-304-leaves-out
    """),
    ("Asks the origin for a 404 that is fresh when the request has conditions. Allowed.", """
        client-conditions-do-not-count-for-404
    """),
    ("A 304 with another strong tag updates the stored response all the same.", """
        a-304-with-another-strong-tag-updates-nothing
    """),
    ("A Content-Length in a 304 cuts the stored body short.", """
        a-304-does-not-update-content-length
    """),
    (
        "Serves the stale response when the origin fails, also without stale-if-error. Allowed while the origin is out "
        "of reach; 503 is passed on by ours.", """
        a-5xx-while-validating-is-passed-on a-5xx-while-validating-replaces-nothing stale-and-no-origin-without-leave
    """),
    ("An answer to HEAD freshens nothing.", """
        head-freshens
    """),
    ("Does not invalidate what Location and Content-Location name. Allowed.", """
        content-location-is-invalidated location-is-invalidated
    """),
    ("Knows nothing of stale-while-revalidate. Allowed.", """
        stale-while-revalidate stale-while-revalidate-validates
    """),
    ("Does not store what POST says to be the resource. Allowed.", """
        post-that-is-the-resource
    """),
    ("Selecting fields have to be the same octet for octet. Allowed.", """
        vary-normalised-case-of-accept-encoding vary-normalised-case-of-accept-language vary-normalised-order-of-accept
        vary-normalised-order-of-accept-encoding vary-normalised-spaces-in-accept-encoding
        vary-normalised-spaces-in-accept-language vary-normalised-weights-of-accept-language
    """),
)  # fmt: skip

VARNISH: Differences = (
    ("Does not implement RFC 9211: no Cache-Status. Allowed.", """
        cache-status-has-no-key cache-status-is-appended cache-status-not-stored cache-status-of-a-hit
        cache-status-of-a-hit-has-no-fwd cache-status-of-a-method cache-status-of-a-miss cache-status-of-a-part
        cache-status-of-a-refusal cache-status-of-a-reload cache-status-of-a-stale-one cache-status-of-a-validation
        cache-status-of-another-variant cache-status-stored cache-status-ttl cache-status-ttl-of-a-stale-one
    """),
    ("Does not implement RFC 9213: CDN-Cache-Control is a field like any other. Allowed.", """
        targeted-0 targeted-before-expires targeted-before-no-store targeted-lifetime targeted-lifetime-is-over
        targeted-no-cache targeted-no-store targeted-on-two-lines targeted-private
        targeted-says-nothing-of-lifetime-but-expires-does targeted-the-last-one-counts targeted-with-parameters
        targeted-with-unknown-directives
    """),
    ("Statuses that are not in its list are never stored, whatever lifetime they have. Allowed.", """
        a-guess-for-308 a-guess-for-405 a-guess-for-501 a-guess-for-what-is-public status-303-with-a-lifetime
        status-308-with-a-lifetime status-400-with-a-lifetime status-403-with-a-lifetime status-451-with-a-lifetime
        status-500-with-a-lifetime status-501-with-a-lifetime status-503-with-a-lifetime status-599-with-a-lifetime
    """),
    ("What is stale is dropped instead of validated (default_keep is 0), so that no conditions are made. Allowed.", """
        a-304-adds-what-is-new a-304-does-not-update-content-length a-304-keeps-what-it-does-not-name a-304-makes-fresh
        a-304-of-a-weak-tag-updates a-304-of-hop-by-hop-fields a-304-resets-the-age a-304-updates-content-foo
        a-304-updates-content-language a-304-updates-content-security-policy a-304-updates-content-type
        a-304-updates-expires a-304-updates-link a-304-updates-x-test a-304-with-a-new-lifetime a-304-with-no-store
        a-304-without-last-modified a-304-without-validators a-5xx-while-validating-replaces-nothing
        a-stale-one-is-validated a-stale-range-is-validated an-old-warning-goes both-are-made
        client-condition-is-forwarded-with-the-304 client-is-told-304-after-validation client-tag-beside-ours
        client-tag-is-another-than-the-304s if-modified-since-is-made if-none-match-is-made if-none-match-of-a-weak-tag
        no-cache-beside-a-lifetime-is-validated no-cache-is-validated selecting-fields-are-sent
        vary-a-304-selects-the-variant vary-a-304-updates-all-of-its-strong-tag vary-other-tags-are-asked
    """),
    ("Asks the origin for the whole. Allowed.", """
        a-body-cut-short-is-completed a-part-is-completed a-range-is-asked-for a-range-of-a-stale-part-is-not-named
        parts-are-combined
    """),
    (
        "A Range that it does not understand, a malformed one, more than one, one beyond 64 bits: 416, where RFC 9110 "
        "§14.2 says to ignore it, or to serve it.", """
        another-unit-is-passed-on many-small-ranges range-malformed range-of-another-unit range-with-large-numbers
        ranges ranges-have-their-fields ranges-of-which-one-is-there ranges-that-touch
    """),
    ("Serves ranges also for HEAD.", """
        range-of-head
    """),
    ("Date does not make a response older. Allowed.", """
        age-of-an-old-date an-old-date-counts
    """),
    ("Two lines of If-Modified-Since with one date count as one.", """
        client-if-modified-since-twice
    """),
    ("The time that the origin took is not part of Age.", """
        age-counts-from-the-request
    """),
    ("Numbers are read up to the first wrong character; a quoted one is not read.", """
        age-with-a-fraction max-age-quoted max-age-with-a-fraction
    """),
    (
        "An Expires that is no date does not count, so that its default lifetime of two minutes does: what is to be "
        "taken as expired is fresh. Zones are not looked at.", """
        expires-0 expires-0-is-no-ground-for-a-guess expires-empty expires-in-another-zone expires-in-utc-by-name
        expires-minus-1 expires-with-a-short-hour expires-with-dashes expires-without-a-comma
    """),
    ("Without any lifetime a response lives for two minutes (default_ttl). Allowed.", """
        no-guess-for-what-is-just-made no-lifetime
    """),
    (
        "Responses to requests with Authorization or Cookie are never stored by the built-in VCL, nor those with "
        "Set-Cookie. Allowed.", """
        authorization-and-must-revalidate authorization-and-public authorization-and-s-maxage cookies-of-requests
        set-cookie-said-public
    """),
    ("Cache-Control and Pragma of requests are not looked at. Allowed (RFC 9111 §5.2.1).", """
        head-with-another-length head-with-another-tag immutable-and-no-cache request-max-age-0 request-max-age-of-less
        request-max-stale request-max-stale-of-any-age request-min-fresh-of-more request-no-cache
        request-no-cache-validates request-no-store request-only-if-cached-is-stale request-only-if-cached-misses
        request-pragma-no-cache vary-is-forgotten-by-a-default-response vary-the-most-recent-is-used
    """),
    ("Cache-Control of a request is kept from the origin.", """
        directives-pass-to-the-origin
    """),
    ("Ignores no-store even where must-understand says that it may. Allowed.", """
        must-understand
    """),
    ("no-cache and private with a list of fields are read as if there were no list. Allowed (RFC 9111 §5.2.2.4).", """
        no-cache-field-rest-is-reused private-field-rest-is-reused
    """),
    ("Proxy-Connection and Proxy-Authentication-Info are passed on and stored.", """
        not-stored-proxy-authentication-info proxy-connection-does-not-pass-to-the-client
        proxy-connection-does-not-pass-to-the-origin
    """),
    (
        "If-None-Match is compared as one tag: lists and a star match nothing. Without Last-Modified If-Modified-Since "
        "never holds.", """
        client-if-modified-since-without-last-modified client-if-none-match-any client-if-none-match-first-of-a-list
        client-if-none-match-last-of-a-list client-if-none-match-on-two-lines
    """),
    ("A 304 repeats metadata of the representation.", """
        fields-that-a-304-leaves-out
    """),
    ("A 1xx response of an origin is an error (503), and so are trailers.", """
        early-hints-are-not-stored early-hints-pass trailers-are-no-fields
    """),
    ("Invalidates nothing.", """
        content-location-is-invalidated delete-invalidates foo-invalidates location-is-invalidated patch-invalidates
        post-answered-with-201-invalidates post-answered-with-204-invalidates post-answered-with-303-invalidates
        post-invalidates put-invalidates
    """),
    ("Max-Forwards is not looked at.", """
        max-forwards-0-of-options max-forwards-0-of-trace max-forwards-of-options max-forwards-of-trace
    """),
    ("Knows nothing of stale-if-error. Allowed.", """
        stale-if-error-and-500 stale-if-error-and-502 stale-if-error-and-503 stale-if-error-and-504
        stale-if-error-and-no-origin stale-if-error-of-a-request
    """),
    ("stale-while-revalidate lets a stale response out although must-revalidate forbids it.", """
        stale-while-revalidate-and-must-revalidate
    """),
    ("Does not store what POST says to be the resource. Allowed.", """
        post-that-is-the-resource
    """),
    ("In Vary only a star alone is seen.", """
        vary-any-1 vary-any-2 vary-any-3 vary-any-4 vary-any-5 vary-any-6
    """),
    ("A Content-Range in a 200 is an error of the origin to it (503).", """
        stored-content-range
    """),
    ("Accept-Encoding is replaced by gzip, or by nothing, so that requests that differ in it get the same response.", """
        vary-distinct-part-of-a-value vary-distinct-weight-of-accept-encoding
    """),
    ("Selecting fields have to be the same octet for octet. Allowed.", """
        vary-normalised-case-of-accept-language vary-normalised-order-of-accept
        vary-normalised-spaces-in-accept-language vary-normalised-unknown-field-on-two-lines
        vary-normalised-weights-of-accept-language
    """),
    ("Via is passed to the origin as it came.", """
        via-of-a-request via-of-a-request-is-appended
    """),
)  # fmt: skip

NGINX: Differences = (
    ("Does not implement RFC 9211: no Cache-Status. Allowed.", """
        cache-status-has-no-key cache-status-is-appended cache-status-not-stored cache-status-of-a-hit
        cache-status-of-a-hit-has-no-fwd cache-status-of-a-method cache-status-of-a-miss cache-status-of-a-part
        cache-status-of-a-refusal cache-status-of-a-reload cache-status-of-a-stale-one cache-status-of-a-validation
        cache-status-of-another-variant cache-status-stored cache-status-ttl cache-status-ttl-of-a-stale-one
    """),
    ("Does not implement RFC 9213: CDN-Cache-Control is a field like any other. Allowed.", """
        targeted-0 targeted-before-expires targeted-before-no-store targeted-lifetime targeted-lifetime-is-over
        targeted-no-cache targeted-no-store targeted-on-two-lines targeted-private
        targeted-says-nothing-of-lifetime-but-expires-does targeted-the-last-one-counts targeted-with-parameters
        targeted-with-unknown-directives
    """),
    ("Guesses no lifetimes (proxy_cache_valid would set them for all). Allowed.", """
        a-guess-for-200 a-guess-for-203 a-guess-for-204 a-guess-for-300 a-guess-for-301 a-guess-for-308 a-guess-for-404
        a-guess-for-405 a-guess-for-410 a-guess-for-414 a-guess-for-501 a-guess-for-what-is-public
    """),
    ("Asks the origin for the whole, and serves ranges only if the origin says Accept-Ranges. Allowed.", """
        a-body-cut-short-is-completed a-part-is-completed a-part-is-reused a-part-of-a-part-is-reused
        a-part-without-a-validator-is-reused a-range-is-asked-for a-range-of-a-stale-part-is-not-named
        a-stale-range-is-validated a-suffix-out-of-a-part if-range-holds if-range-of-the-date parts-are-combined range
        range-beyond-the-end range-has-the-fields-of-200 range-has-vary-and-the-like range-of-a-suffix
        range-of-a-suffix-too-long range-of-no-octets-at-the-end range-of-one-octet range-that-is-not-there
        range-to-the-end range-unit-in-capitals ranges ranges-have-their-fields ranges-of-which-one-is-there
        ranges-that-touch
    """),
    ("Makes no Age, and passes on the one that it stored as it was.", """
        age-counts-from-the-request age-is-added-to age-is-generated age-of-an-old-date age-with-expires date-stays
    """),
    ("Age is not looked at: what is old already is fresh again here.", """
        age-beyond-64-bits age-beyond-expires age-beyond-max-age age-lines-old-first age-list-old-first age-of-2-to-31
        an-old-date-counts
    """),
    ("The Date of the origin is replaced by its own, so that nobody after it can tell the age.", """
        an-own-date-is-kept date-and-expires-stay
    """),
    ("Expires counts from its own clock instead of from Date.", """
        a-date-in-the-future-makes-nothing-fresher
    """),
    ("Zones of dates are not looked at, and dates are compared in their usual letters alone.", """
        expires-in-another-zone expires-in-other-case expires-in-utc-by-name
    """),
    ("A quoted number is not read. Allowed: less is reused.", """
        max-age-quoted
    """),
    ("Authorization does not matter to it: one user's response is given to another.", """
        authorization authorization-of-another
    """),
    ("Cache-Control and Pragma of requests are not looked at. Allowed (RFC 9111 §5.2.1).", """
        head-with-another-length head-with-another-tag immutable-and-no-cache request-max-age-0 request-max-age-of-less
        request-max-stale request-max-stale-is-exceeded request-max-stale-of-any-age request-min-fresh-of-more
        request-no-cache request-no-cache-validates request-no-store request-only-if-cached-is-stale
        request-only-if-cached-misses request-pragma-no-cache vary-is-forgotten-by-a-default-response
        vary-the-most-recent-is-used
    """),
    ("A 304 that nobody asked for is stored.", """
        a-304-to-no-condition
    """),
    (
        "A 304 updates nothing but the lifetime, and that not by its Cache-Control: fields and directives of the first "
        "response stay.", """
        a-304-adds-what-is-new a-304-of-a-weak-tag-updates a-304-updates-content-foo a-304-updates-content-language
        a-304-updates-content-security-policy a-304-updates-content-type a-304-updates-expires a-304-updates-link
        a-304-updates-x-test a-304-with-a-new-lifetime a-304-with-no-store
    """),
    ("A response with no-cache is not stored. Allowed.", """
        no-cache-beside-a-lifetime-is-validated no-cache-is-validated
    """),
    ("no-cache and private with a list of fields are read as if there were no list. Allowed (RFC 9111 §5.2.2.4).", """
        no-cache-field-rest-is-reused private-field-rest-is-reused
    """),
    ("Ignores no-store even where must-understand says that it may. Allowed.", """
        must-understand
    """),
    ("Fields that Connection names, and those between a client and its proxy, are passed on and stored.", """
        connection-names-fields-of-a-request connection-names-fields-of-a-response
        fields-that-connection-names-are-not-stored not-stored-proxy-authenticate not-stored-proxy-authentication-info
        not-stored-proxy-authorization proxy-connection-does-not-pass-to-the-client
        proxy-connection-does-not-pass-to-the-origin
    """),
    ("Warning is a field like any other. Allowed.", """
        an-old-warning-goes
    """),
    (
        "Conditions of clients are judged by its own rules for files: If-Match and If-Unmodified-Since too, a date has "
        "to be the same, a second line of one is an error, If-Modified-Since counts beside If-None-Match, and without "
        "Last-Modified never.", """
        client-condition-is-forwarded-with-the-304 client-if-match-is-the-origins client-if-modified-since-later
        client-if-modified-since-twice client-if-modified-since-without-last-modified
        client-if-none-match-goes-first-and-holds client-if-none-match-on-two-lines
        client-if-unmodified-since-is-the-origins client-tag-beside-ours
    """),
    ("A 304 updates one variant, and not all that have its strong tag.", """
        vary-a-304-updates-all-of-its-strong-tag
    """),
    ("A 304 repeats metadata of the representation.", """
        fields-that-a-304-leaves-out
    """),
    ("Asks in HTTP/1.0, where the end of a body without a length cannot be told from a broken connection.", """
        chunks-cut-short-are-not-whole
    """),
    ("Talks HTTP/1.0 to origins, which has no 1xx.", """
        early-hints-pass
    """),
    ("Invalidates nothing.", """
        content-location-is-invalidated delete-invalidates foo-invalidates location-is-invalidated patch-invalidates
        post-answered-with-201-invalidates post-answered-with-204-invalidates post-answered-with-303-invalidates
        post-invalidates put-invalidates
    """),
    ("The host of its key is as it was sent. Allowed.", """
        host-in-capitals
    """),
    ("Max-Forwards is not looked at.", """
        max-forwards-0-of-options max-forwards-of-options
    """),
    ("stale-if-error lets a stale response out although must-revalidate forbids it, and without Age.", """
        must-revalidate-and-stale-if-error-and-no-origin stale-if-error-and-no-origin
    """),
    (
        "Serves stale responses for stale-if-error when there is no connection, not for statuses; proxy_cache_use_stale "
        "would. Allowed.", """
        stale-if-error-and-500 stale-if-error-and-502 stale-if-error-and-503 stale-if-error-and-504
        stale-if-error-of-a-request
    """),
    ("Without proxy_cache_background_update nothing is served while it is validated. Allowed.", """
        stale-while-revalidate stale-while-revalidate-validates
    """),
    ("A response with Set-Cookie is never stored. Allowed.", """
        set-cookie-said-public
    """),
    ("Does not store what POST says to be the resource. Allowed.", """
        post-that-is-the-resource
    """),
    ("In Vary only a star alone, or at the end, is seen.", """
        vary-any-1 vary-any-3 vary-any-4 vary-any-5
    """),
    ("A field that is empty counts as absent.", """
        vary-differs-by-emptiness
    """),
    ("Selecting fields have to be the same but for spaces, and other variants' tags are not asked. Allowed.", """
        vary-normalised-case-of-accept-encoding vary-normalised-case-of-accept-language vary-normalised-order-of-accept
        vary-normalised-order-of-accept-encoding vary-normalised-unknown-field-on-two-lines
        vary-normalised-weights-of-accept-language vary-other-tags-are-asked
    """),
    ("Tells nobody that it is there: Via is passed on as it came.", """
        via-of-a-request via-of-a-request-is-appended via-of-a-response via-of-a-response-is-appended
    """),
)  # fmt: skip
