-- words.lua - counts the words of files, writes all of them sorted to a file, and says how many there are.
local count, words = {}, {}
for _, name in ipairs(arg) do
	for line in io.lines(name) do
		for word in line:gmatch("%a+") do
			if not count[word] then
				words[#words + 1] = word
			end
			count[word] = (count[word] or 0) + 1
		end
	end
end
table.sort(words, function(a, b) return a < b end)
local file = assert(io.open("words", "w"))
for _, word in ipairs(words) do
	assert(file:write(word, " ", count[word], "\n"))
end
assert(file:close())
print(#words)
