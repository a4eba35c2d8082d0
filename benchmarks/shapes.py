"""Text that is made to take long: each unit is repeated for as long as one likes."""

SHAPES = (
    # runs
    *("A" * 60, "a", "Ab1", "FooBar", "/", "=", "A1b/" * 15 + "\n", "A1b/" * 15 + " ", "\n", " "),
    *("Ab1/" * 63 + ".", "base64,", ";base64," + "A" * 130, "data:", "data:image/png;", "https://"),
    # escapes
    *("\\", "\\/", "\\\\x", "\\x", "\\u00", "\\x41 ", "\\" * 9 + "n", "\\" * 9 + "/", "%2F", "%"),
    *("A\\/", "b'", "b'\\", 'b"\\x', "\\x89" * 60 + "'", "\\xe4\\xbd", "'", '"', '\\"'),
    # pairs and dumps
    *("00 ", "ab:", "ab-", "0x", "0x1f, ", "ab cd ", "dead beef \n", "aa:   " * 63 + "zz "),
    *("ab " * 63 + "zz ", "ab " * 14 + "zz ", "00000010: ", "00000010: ab cd\n", "\t|"),
    # colours
    *("\x1b[", "\x1b[1", "\x1b[1m"),
    # secrets
    *(
        "api_key",
        "api_key=",
        "token: ",
        'token="',
        'token=\\"',
        "token=[",
        'api_keys=["',
        "password",
    ),
    *("password: a ", "Authorization: Bearer ", "Bearer ", "eyJ", "eyJaaaaaaaa.", "sk-", "AIza"),
    *("1234567:AA", "://", "://a:", "://a:b@", "@", "Cookie: a=", "Cookie: ", "a=b; ", "key "),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "PRIVATE KEY-----A",
        "-----END",
        "密钥：",
        "密码是",
        "--token ",
        "curl ",
        "curl -u a:b ",
        "curl -u 'a:",
        "-u a:bcdef ",
        "--user=",
        "M" * 24 + ".",
        ".abcdef.",
        "Mz1" * 8 + ".abcdef." + "Mz1" * 9 + " ",
        "Mz1" * 8 + ".abcdef",
        "x-api-key: abcdefghijklmnop",
    ),
)
